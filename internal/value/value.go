// Package value makes the values that stand for locks on the nodes, and the names of Lockers
// in line, and tells of each what may be told: a mark, and where it was given one, who made it
// and when. It promises that the random part of a value, with which a lock can be released, is
// in nothing that it tells. It reads no clock and knows nothing of nodes. Whatever makes,
// compares or shows a value calls it.
package value

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/b0401464/redlock/internal/script"
)

const (
	// MaxOwner is how many bytes an owner has at most.
	MaxOwner = 128

	random    = 32 // hexadecimal digits of a value
	idLen     = 16 // and of the name of a Locker
	markLen   = 8
	maxDigits = 13 // of a moment, in ms: until the year 2286
	maxMoment = 9_999_999_999_999
	// maxTold is what a script tells of an owner at most.
	maxTold = maxDigits + 1 + MaxOwner
)

// Kept is what a gate puts in the place of a resource that is kept for the next one in line.
// It is no lock.
const Kept = "redlock:next"

// New returns a random value for a lock.
func New() string {
	var room [random]byte
	return string(appendRandom(room[:0], random))
}

// Owned returns a random value for a lock that tells whose it is, and since when. The owner
// is one that [IsOwner] is true of.
func Owned(owner string, since time.Time) string {
	var room [random + 1 + maxTold]byte
	text := append(appendRandom(room[:0], random), ' ')
	text = strconv.AppendInt(text, min(max(since.UnixMilli(), 0), maxMoment), 10)
	text = append(text, ' ')
	return string(append(text, owner...))
}

// NewID returns a random name for a Locker, which tells its owner, too, unless that is empty.
func NewID(owner string) string {
	var room [idLen + 1 + MaxOwner]byte
	text := appendRandom(room[:0], idLen)
	if owner != "" {
		text = append(append(text, ' '), owner...)
	}
	return string(text)
}

// appendRandom appends so many random hexadecimal digits, an even number.
func appendRandom(text []byte, digits int) []byte {
	var bytes [random / 2]byte
	_, _ = rand.Read(bytes[:digits/2]) // never fails
	return hex.AppendEncode(text, bytes[:digits/2])
}

// IsOwner reports whether a text can say who a holder is: it has 1 to 128 bytes, and all of
// them are printable UTF-8.
func IsOwner(text string) bool {
	return text != "" && len(text) <= MaxOwner && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return !unicode.IsPrint(r) })
}

// Mark returns the mark of a value: the beginning of a hash of it.
func Mark(value string) string { return script.Hash(value)[:markLen] }

// IsMark reports whether a text may be the mark of a value.
func IsMark(text string) bool { return len(text) == markLen && isHex(text) }

// A Name is what may be told of a value. The zero Name is that of none.
type Name struct {
	Mark string
	told string // since when, and whose it is; see Owner
}

// Made reports whether a value is like those that New and Owned make.
func Made(value string) bool {
	return len(value) >= random && isHex(value[:random]) && (len(value) == random || value[random] == ' ')
}

// Tell returns the name of a value as the scripts tell it.
func Tell(value string) string {
	n := NameOf(value)
	if _, _, ok := n.Owner(); ok {
		return n.Mark + " " + n.told
	}
	return n.Mark
}

// NameOf returns the name of a value.
func NameOf(value string) Name {
	n := Name{Mark: Mark(value)}
	if len(value) > random+1 && Made(value) {
		n.told = value[random+1:]
	}
	return n
}

// ReadName returns the name that a script has told. Of what is longer than any name it keeps
// the beginning.
func ReadName(text string) Name {
	mark, told, _ := strings.Cut(text, " ")
	if len(mark) > maxTold {
		mark = strings.Clone(mark[:maxTold])
	}
	if len(told) > maxTold {
		told = ""
	}
	return Name{mark, told}
}

// Owner returns whose the value is, and since when by the clock of that one. ok is false if
// the value does not tell, as those of other libraries.
func (n Name) Owner() (owner string, since time.Time, ok bool) {
	digits, owner, _ := strings.Cut(n.told, " ")
	if len(digits) == 0 || len(digits) > maxDigits || strings.Trim(digits, "0123456789") != "" || !IsOwner(owner) {
		return "", time.Time{}, false
	}
	ms, err := strconv.ParseInt(digits, 10, 64)
	if err != nil {
		return "", time.Time{}, false
	}
	return owner, time.UnixMilli(ms), true
}

// ReadID returns what may be told of the name of a Locker: a mark, and the owner if it has one.
func ReadID(id string) (mark, owner string) {
	if len(id) > idLen+1 && id[idLen] == ' ' && isHex(id[:idLen]) && IsOwner(id[idLen+1:]) {
		owner = id[idLen+1:]
	}
	return Mark(id), owner
}

func isHex(text string) bool { return strings.Trim(text, "0123456789abcdef") == "" }
