package finding

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/b0401464/redlock/internal/text"
)

// A Severity says how bad something is.
type Severity uint8

// Severities, the mildest first.
const (
	Note Severity = iota + 1
	Slow
	Unsafe
	Broken
)

var severities = []string{"none", "note", "slow", "unsafe", "broken"}

// String returns its name, "none" for zero.
func (s Severity) String() string {
	if int(s) < len(severities) {
		return severities[s]
	}
	return "severity " + strconv.Itoa(int(s))
}

// MarshalText returns what String does.
func (s Severity) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// ReadSeverity returns the severity of that name.
func ReadSeverity(name string) (Severity, error) {
	i := slices.Index(severities, name)
	if i < 0 {
		return 0, fmt.Errorf("severity %s is unknown", text.Quote(name))
	}
	return Severity(i), nil //nolint:gosec // there are few
}
