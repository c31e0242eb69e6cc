package redlock

import (
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/b0401464/redlock/internal/value"
)

// A Holder is who has a lock, as far as its value on the nodes tells. The zero Holder is
// nobody.
type Holder struct {
	Mark  string    // names the value; see [Lock.Mark]
	Owner string    // of its [WithOwner]; empty if it has none, as with another library
	Since time.Time // when it was taken, by the clock of the holder; zero without an owner
}

// WithOwner says who takes the lock, in words for an operator, as "billing-7f9c pid 4242".
// Whoever is refused finds it in [LockError.HeldBy] and in the text of the error, and
// [Locker.Inspect] tells it. By default a lock has no owner.
//
// It is part of the lock's value on the nodes, behind the random part, with the moment just
// before the attempt that got the lock, by this process' wall clock in milliseconds. So it
// takes no key and no command, and is no secret. Given to New, it also names the Locker in
// the line of those that wait.
//
// text is 1 to 128 bytes of printable UTF-8; any other is an error.
func WithOwner(text string) LockOption {
	return lockOptionFunc(func(c *callConfig) error {
		if !value.IsOwner(text) {
			return invalid("WithOwner(%.*q): want 1 to %d bytes of printable UTF-8", value.MaxOwner, text, value.MaxOwner)
		}
		c.Owner = text
		return nil
	})
}

// Mark returns the short name of the lock by which errors and [Locker.Inspect] name its
// holder: 8 hexadecimal digits of a hash of its value. It can be logged: nobody can release
// the lock by it, but for an operator with [Locker.Break]. It is empty for a zero Lock.
func (k *Lock) Mark() string {
	if k.zero() {
		return ""
	}
	return k.hold.Name().Mark
}

// holderOf returns the holder whose value has a name.
func holderOf(n value.Name) Holder {
	owner, since, _ := n.Owner()
	return Holder{Mark: n.Mark, Owner: owner, Since: since}
}

// age returns for how long the holder has had the lock at a moment, by two clocks that may
// disagree.
func (h Holder) age(now time.Time) time.Duration {
	if h.Since.IsZero() {
		return 0
	}
	return max(now.Sub(h.Since), 0)
}

// text returns what names the holder, whose lock is so old; nothing for nobody.
func (h Holder) text(age time.Duration) string {
	switch {
	case h.Mark == "":
		return ""
	case h.Owner == "":
		return "mark " + h.Mark
	}
	return h.Owner + " since " + rough(age).String() + " ago, mark " + h.Mark
}

// attributes returns those of a span.
func (h Holder) attributes() []attribute.KeyValue {
	attrs := []attribute.KeyValue{keyHolderMark.String(h.Mark)}
	if h.Owner != "" {
		attrs = append(attrs, keyHolderOwner.String(h.Owner), keyHolderSince.String(h.Since.UTC().Format(time.RFC3339Nano)))
	}
	return attrs
}

// rough rounds a duration for people.
func rough(d time.Duration) time.Duration {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond)
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond)
	}
	return d.Round(time.Second)
}
