package inspect

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/node"
	"github.com/b0401464/redlock/internal/script"
	"github.com/b0401464/redlock/internal/value"
)

// A query is the commands that a node is asked, with arguments of their own each time: a hook
// of the client may change them in place.
type query struct {
	resource string
	beside   bool // what is kept beside the resource, too
}

// queryAll asks for all that there is for a resource.
func queryAll(resource string) query { return query{resource, script.Tags(resource)} }

// maxLine is how many of a line are told.
const maxLine = 1000

// What the commands ask for, by their order.
const (
	getValue = iota
	getLeft
	getToken
	getReserved
	getLine
)

func (q query) commands(ctx context.Context) []client.Cmd {
	all := []client.Cmd{
		getValue: redis.NewCmd(ctx, "get", q.resource),
		getLeft:  redis.NewCmd(ctx, "pttl", q.resource),
	}
	if q.beside {
		line, reservation := script.Line(q.resource)
		all = append(all,
			redis.NewCmd(ctx, "get", script.Counter(q.resource)),
			redis.NewCmd(ctx, "get", reservation),
			redis.NewCmd(ctx, "zrange", line, 0, maxLine-1, "withscores"))
	}
	return all
}

// sight returns what a node has told by its answers to the commands.
func (q query) sight(answers []client.Answer) (s Sight) {
	text, there, err := readText(answers[getValue])
	if err != nil {
		return Sight{Err: err}
	}
	left, err := readNumber(answers[getLeft])
	if err != nil {
		return Sight{Err: err}
	}
	s = Sight{Told: true}
	switch there = there && left != gone; {
	case there && text == value.Kept:
		s.Kept = true
	case there:
		s.There, s.Value, s.Left = true, text, node.Milliseconds(left)
	}
	if q.beside {
		s.Part = s.readBeside(answers)
	}
	return s
}

// gone is what PTTL says of a key that is not there: it has gone since it was read.
const gone = -2

// readBeside reads what is kept beside the resource, and returns what is wrong with it first.
func (s *Sight) readBeside(answers []client.Answer) error {
	var failed error
	note := func(err error) {
		if failed == nil {
			failed = err
		}
	}
	counter, there, err := readText(answers[getToken])
	note(err)
	if there && err == nil {
		s.Token, err = strconv.ParseInt(counter, 10, 64)
		if err != nil || s.Token < 0 {
			s.Token = 0
			note(errors.New("the fencing counter is not a number"))
		}
	}
	reserved, isReserved, err := readText(answers[getReserved])
	note(err)
	s.Line, err = readLine(answers[getLine])
	note(err)
	if isReserved && err == nil {
		s.Line = callFirst(s.Line, told(reserved))
	}
	return failed
}

// A Waiting is a Locker that waits in line.
type Waiting struct {
	ID     string
	Since  time.Time // by the clock of the gate; zero of one that has been called and left the line
	Called bool      // the resource is reserved for it
}

// told returns the name of a Locker, whether it is told that it is next or has to look.
func told(id string) string { return strings.TrimPrefix(id, script.Looks) }

// callFirst puts the one for which the resource is reserved first, where it stands in line, too.
func callFirst(line []Waiting, id string) []Waiting {
	first := Waiting{ID: id}
	if i := slices.IndexFunc(line, func(w Waiting) bool { return w.ID == id }); i >= 0 {
		first = line[i]
		line = slices.Delete(line, i, i+1)
	}
	first.Called = true
	return slices.Insert(line, 0, first)
}

func readText(a client.Answer) (text string, there bool, err error) {
	if errors.Is(a.Err, redis.Nil) {
		return "", false, nil
	}
	if a.Err != nil {
		return "", false, a.Err
	}
	text, there = a.Reply.(string)
	if !there {
		return "", false, node.Unexpected(a.Reply)
	}
	return text, true, nil
}

func readNumber(a client.Answer) (int64, error) {
	if a.Err != nil {
		return 0, a.Err
	}
	n, ok := a.Reply.(int64)
	if !ok {
		return 0, node.Unexpected(a.Reply)
	}
	return n, nil
}

// readLine reads members and scores, which RESP2 has in one list and RESP3 in pairs.
func readLine(a client.Answer) ([]Waiting, error) {
	if a.Err != nil {
		return nil, a.Err
	}
	list, ok := a.Reply.([]any)
	if !ok {
		return nil, node.Unexpected(a.Reply)
	}
	var flat []any
	for _, item := range list {
		if pair, ok := item.([]any); ok {
			flat = append(flat, pair...)
		} else {
			flat = append(flat, item)
		}
	}
	var all []Waiting
	for pair := range slices.Chunk(flat, 2) {
		id, ok := pair[0].(string)
		if !ok || len(pair) < 2 {
			return nil, node.Unexpected(a.Reply)
		}
		all = append(all, Waiting{ID: told(id), Since: moment(pair[1])})
	}
	return all, nil
}

// moment returns the time of a score, which is in µs. It is zero if that is none.
func moment(score any) time.Time {
	µs, ok := score.(float64)
	if text, isText := score.(string); isText {
		f, err := strconv.ParseFloat(text, 64)
		µs, ok = f, err == nil
	}
	if !ok || !(µs > 0 && µs < 1<<53) {
		return time.Time{}
	}
	return time.UnixMicro(int64(µs))
}
