// Package text makes what people read of what the library knows: one line of whatever clients
// and servers put into it, names in quotes, rough durations, tables. It knows nothing of what
// that is about. Whatever makes an error, a span or a report calls it.
package text

import (
	"fmt"
	"strings"
	"unicode"
)

// Bounds of what an error's text quotes of names and of what nodes answered.
const (
	maxQuoted = 100
	maxReason = 500
)

// OneLine returns s as a line of UTF-8, whatever clients and servers put into
// it: a log takes a line for an event, a terminal does what control characters say or shows
// the line in another order, and an exporter drops a whole batch of spans for one that is
// not UTF-8.
func OneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		return r
	}, UTF8(s))
}

// UTF8 returns s with a replacement for each run of bytes that is not UTF-8.
func UTF8(s string) string { return strings.ToValidUTF8(s, "\uFFFD") }

// Shorten returns the beginning of a reason, and how long it is.
func Shorten(s string) string {
	if len(s) > maxReason {
		return fmt.Sprintf("%s… (%d bytes)", s[:maxReason], len(s))
	}
	return s
}

// Quote returns the name of a resource in quotes, or its beginning.
func Quote(resource string) string {
	if len(resource) > maxQuoted {
		return fmt.Sprintf("%q… (%d bytes)", resource[:maxQuoted], len(resource))
	}
	return fmt.Sprintf("%q", resource)
}

// Many returns how many there are of what.
func Many(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
