package value

import (
	"time"

	"github.com/b0401464/redlock/internal/text"
)

// A Holder is who has a lock, as far as its value tells. The zero Holder is nobody.
type Holder struct {
	Mark  string
	Owner string    // empty if the value does not tell
	Since time.Time // by the clock of the holder; zero without an owner
}

// Holder returns whose the value is.
func (n Name) Holder() Holder {
	owner, since, _ := n.Owner()
	return Holder{Mark: n.Mark, Owner: owner, Since: since}
}

// Age returns for how long the holder has had the lock at a moment, by two clocks that may
// disagree.
func (h Holder) Age(now time.Time) time.Duration {
	if h.Since.IsZero() {
		return 0
	}
	return max(now.Sub(h.Since), 0)
}

// Text returns what names the holder, whose lock is so old; nothing for nobody.
func (h Holder) Text(age time.Duration) string {
	switch {
	case h.Mark == "":
		return ""
	case h.Owner == "":
		return "mark " + h.Mark
	}
	return h.Owner + " since " + text.Rough(age).String() + " ago, mark " + h.Mark
}
