package client

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestAValueIsTakenOutOfATextWhereverAndHoweverMuchOfItIsThere(t *testing.T) {
	const value = "0123456789abcdef"
	for text, want := range map[string]string{
		"":                           "",
		"ERR a":                      "ERR a",
		value:                        "[value]",
		"'" + value + "'":            "'[value]'",
		"01234567":                   "[value]",
		"0123456":                    "0123456", // as much as tells nothing
		"0123456789, and the rest":   "[value], and the rest",
		value + value + "x" + value:  "[value][value]x[value]",
		"0123456701234567":           "[value][value]",
		"0123456789abcdeg 012345678": "[value]g [value]",
	} {
		assert.Equal(t, want, redacted(text, value), text)
	}
	assert.Equal(t, "ERR a", redacted("ERR a", ""))
	assert.Equal(t, "ERR [value]", redacted("ERR a", "a"))
}

func TestAnErrorStaysWhatItIsWithoutTheArgumentsInIt(t *testing.T) {
	quoted := WithoutArguments(replyError("ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'me' 'secret' "))
	assert.EqualError(t, quoted, "ERR unknown command 'HELLO'")
	assert.True(t, Unknown(quoted))
	plain := errors.New("no arguments")
	assert.Same(t, plain, WithoutArguments(plain))
}
