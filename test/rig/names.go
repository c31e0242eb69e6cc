package rig

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// HostileNames are names of resources that something on the way could trip over.
func HostileNames() []string {
	return []string{
		"", " ", "invoice:42", "a\x00b\x00", "\x00", "a\r\nb\n", "\r\n", "\n", "{a}b{}{{c}}", "{}", "}{", "\xff\xfe\x80\xc3(", "grün 🔒",
		"\u2028\u0085\u202e", `"]] .. KEYS[1] .. [["'\`, "%s%d%n%!", "[value]", "0", "-1", "nil", "NaN",
		"*1\r\n$4\r\nQUIT\r\n", "$-1\r\n", ":1\r\n", "-ERR\r\n", "+OK\r\n", "*3\r\n", "_\r\n", ">2\r\n+a\r\n+b\r\n", "*?[^a]\\",
		strings.Repeat("0123456789abcdef", 1<<7), strings.Repeat("\n", 200), strings.Repeat("ü", 100),
	}
}

// RequireTidy demands that an error is told in one line of bounded length
// without the lock's value, or enough of its beginning to be no accident.
func RequireTidy(t *testing.T, err error, value string) {
	t.Helper()
	for _, text := range []string{err.Error(), fmt.Sprintf("%v, %+v, %s", err, err, err)} {
		require.NotContains(t, text, value[:10])
		require.False(t, strings.ContainsAny(text, "\r\n"), "%q", text)
		require.Less(t, len(text), 1<<14, "%.200q", text)
	}
}
