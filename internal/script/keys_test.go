package script_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/script"
)

func TestKeysBesideAResourceHaveItsHashTag(t *testing.T) {
	for resource, want := range map[string]string{
		"a": "{a}:x", "{a}": "{a}:x", "{a}b": "{a}b:x", "b{a}{c}": "b{a}{c}:x", "{a": "{{a}:x", "a{": "{a{}:x",
	} {
		assert.True(t, script.Tags(resource), resource)
		first, second := script.Beside(resource, ":x", ":yz")
		assert.Equal(t, want, first)
		assert.Equal(t, want[:len(want)-1]+"yz", second)
	}
	for _, resource := range []string{"a}", "}", "{}", "{}a", "}{", "{}{a}"} {
		assert.False(t, script.Tags(resource), resource)
	}
}
