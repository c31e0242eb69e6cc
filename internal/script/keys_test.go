package script_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/script"
)

func TestKeysBesideAResourceHaveItsHashTag(t *testing.T) {
	for resource, want := range map[string]string{
		"a": "{a}", "{a}": "{a}", "{a}b": "{a}b", "b{a}{c}": "b{a}{c}", "{a": "{{a}", "a{": "{a{}",
	} {
		assert.True(t, script.Tags(resource), resource)
		line, reservation := script.Line(resource)
		assert.Equal(t, want+":redlock:line", line)
		assert.Equal(t, want+":redlock:next", reservation)
	}
	for _, resource := range []string{"a}", "}", "{}", "{}a", "}{", "{}{a}"} {
		assert.False(t, script.Tags(resource), resource)
	}
}
