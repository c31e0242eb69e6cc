package faultproxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
)

const (
	maxBulk  = 512 << 20 // what Redis allows too
	maxItems = 1 << 20
	maxDepth = 64
)

// readRequest reads one request: its bytes and its arguments. It passes over
// empty ones, which Redis does not answer.
func readRequest(r *bufio.Reader) (raw []byte, args []string, err error) {
	for len(args) == 0 {
		raw, err = readLine(r, nil)
		if err != nil {
			return nil, nil, err
		}
		if raw[0] != '*' {
			args = strings.Fields(string(raw)) // an inline command
			continue
		}
		n, err := count(raw)
		if err != nil {
			return nil, nil, err
		}
		for range n {
			start := len(raw)
			if raw, err = readLine(r, raw); err != nil {
				return nil, nil, err
			}
			header := raw[start:]
			size, err := count(header)
			if err != nil || header[0] != '$' || size < 0 {
				return nil, nil, fmt.Errorf("faultproxy: not a bulk string: %q", header)
			}
			if raw, err = readBytes(r, raw, size+2); err != nil {
				return nil, nil, err
			}
			args = append(args, string(raw[len(raw)-size-2:len(raw)-2]))
		}
	}
	return raw, args, nil
}

// readReply reads one reply of RESP2 or RESP3 with all that is nested in it.
// It reports whether that is a push message, which answers no request.
func readReply(r *bufio.Reader) (raw []byte, push bool, err error) {
	raw, err = readValue(r, nil, 0)
	if err != nil {
		return nil, false, err
	}
	return raw, raw[0] == '>', nil
}

// readValue appends the next value to raw.
func readValue(r *bufio.Reader, raw []byte, depth int) ([]byte, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("faultproxy: reply nested deeper than %d", maxDepth)
	}
	start := len(raw)
	raw, err := readLine(r, raw)
	if err != nil {
		return nil, err
	}
	header := raw[start:]
	values := 0 // that follow the header
	switch header[0] {
	case '+', '-', ':', '_', ',', '#', '(':
		return raw, nil
	case '$', '!', '=':
		n, err := count(header)
		if err != nil || n < 0 {
			return raw, err // negative: a null of RESP2
		}
		return readBytes(r, raw, n+2)
	case '*', '~', '>':
		values, err = count(header)
	case '%':
		values, err = count(header)
		values *= 2
	case '|':
		values, err = count(header)
		values = values*2 + 1 // attributes, and the value they belong to
	default:
		return nil, fmt.Errorf("faultproxy: unknown type of reply: %q", header)
	}
	if err != nil {
		return nil, err
	}
	for range values { // none for a null array, which is negative
		if raw, err = readValue(r, raw, depth+1); err != nil {
			return nil, err
		}
	}
	return raw, nil
}

// readLine appends the next line to raw, with its end. A line is never empty:
// it ends in "\n" at least.
func readLine(r *bufio.Reader, raw []byte) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == nil {
		return append(raw, line...), nil
	}
	if err != bufio.ErrBufferFull { //nolint:errorlint // ReadSlice returns it as it is
		return nil, err
	}
	raw = append(raw, line...) // a copy, before the next read overwrites it
	rest, err := r.ReadBytes('\n')
	return append(raw, rest...), err
}

// readBytes appends the next n bytes to raw.
func readBytes(r *bufio.Reader, raw []byte, n int) ([]byte, error) {
	start := len(raw)
	raw = append(raw, make([]byte, n)...)
	_, err := io.ReadFull(r, raw[start:])
	return raw, err
}

// count returns the number in a header line, -1 or more.
func count(header []byte) (int, error) {
	n, err := strconv.Atoi(string(bytes.TrimSpace(header[1:])))
	limit := maxItems
	if strings.IndexByte("$!=", header[0]) >= 0 {
		limit = maxBulk
	}
	if err != nil || n < -1 || n > limit {
		return 0, fmt.Errorf("faultproxy: bad length: %q", header)
	}
	return n, nil
}
