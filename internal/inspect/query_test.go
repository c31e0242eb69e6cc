package inspect

import (
	"errors"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/value"
)

func reply(v any) client.Answer { return client.Answer{Reply: v} }

var nothing = client.Answer{Err: redis.Nil}

func TestASightIsWhatTheAnswersTell(t *testing.T) {
	q := queryAll("a")
	broken := client.Answer{Err: errors.New("WRONGTYPE")}
	since := time.UnixMicro(1764495600000000)
	line := []Waiting{{ID: "x", Since: since}, {ID: "y", Since: since.Add(1000)}}
	resp2 := reply([]any{"x", "1764495600000000", "y", "1764495600000001"})
	resp3 := reply([]any{[]any{"x", 1764495600000000.}, []any{"y", 1764495600000001.}})
	for name, tt := range map[string]struct {
		answers []client.Answer
		want    Sight
		fails   bool
		part    bool
	}{
		"nothing":          {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, reply([]any{})}, want: Sight{Told: true}},
		"a lock":           {answers: []client.Answer{reply("v"), reply(int64(1500)), reply("17"), nothing, reply([]any{})}, want: Sight{Told: true, There: true, Value: "v", Left: 1500 * time.Millisecond, Token: 17}},
		"for ever":         {answers: []client.Answer{reply("v"), reply(int64(-1)), nothing, nothing, reply([]any{})}, want: Sight{Told: true, There: true, Value: "v", Left: -time.Millisecond}},
		"gone meanwhile":   {answers: []client.Answer{reply("v"), reply(int64(-2)), nothing, nothing, reply([]any{})}, want: Sight{Told: true}},
		"hardly there":     {answers: []client.Answer{reply("v"), reply(int64(0)), nothing, nothing, reply([]any{})}, want: Sight{Told: true, There: true, Value: "v"}},
		"kept":             {answers: []client.Answer{reply(value.Kept), reply(int64(5)), nothing, reply("x"), reply([]any{})}, want: Sight{Told: true, Kept: true, Line: []Waiting{{ID: "x", Called: true}}}},
		"a line":           {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, resp2}, want: Sight{Told: true, Line: line}},
		"a line in pairs":  {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, resp3}, want: Sight{Told: true, Line: line}},
		"one of it called": {answers: []client.Answer{nothing, reply(int64(-2)), nothing, reply("y"), resp2}, want: Sight{Told: true, Line: []Waiting{{ID: "y", Since: since.Add(1000), Called: true}, line[0]}}},
		"scores of others": {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, reply([]any{"x", "nan", "y", "1e300"})}, want: Sight{Told: true, Line: []Waiting{{ID: "x"}, {ID: "y"}}}},

		"another type":       {answers: []client.Answer{broken, reply(int64(5)), nothing, nothing, reply([]any{})}, fails: true},
		"no time":            {answers: []client.Answer{reply("v"), broken, nothing, nothing, reply([]any{})}, fails: true},
		"nothing was set":    {answers: []client.Answer{{}, {}, {}, {}, {}}, fails: true},
		"a number":           {answers: []client.Answer{reply(int64(1)), reply(int64(5)), nothing, nothing, reply([]any{})}, fails: true},
		"a time of text":     {answers: []client.Answer{reply("v"), reply("5"), nothing, nothing, reply([]any{})}, fails: true},
		"no counter allowed": {answers: []client.Answer{nothing, reply(int64(-2)), broken, nothing, resp2}, want: Sight{Told: true, Line: line}, part: true},
		"a counter of text":  {answers: []client.Answer{nothing, reply(int64(-2)), reply("x"), nothing, resp2}, want: Sight{Told: true, Line: line}, part: true},
		"a counter below 0":  {answers: []client.Answer{nothing, reply(int64(-2)), reply("-4"), nothing, resp2}, want: Sight{Told: true, Line: line}, part: true},
		"no reservation":     {answers: []client.Answer{nothing, reply(int64(-2)), reply("3"), broken, resp2}, want: Sight{Told: true, Token: 3, Line: line}, part: true},
		"no line":            {answers: []client.Answer{nothing, reply(int64(-2)), reply("3"), reply("x"), broken}, want: Sight{Told: true, Token: 3}, part: true},
		"half a line":        {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, reply([]any{"x"})}, want: Sight{Told: true}, part: true},
		"numbers in line":    {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, reply([]any{int64(1), "2"})}, want: Sight{Told: true}, part: true},
		"a line of nothing":  {answers: []client.Answer{nothing, reply(int64(-2)), nothing, nothing, {}}, want: Sight{Told: true}, part: true},
	} {
		s := q.sight(tt.answers)
		assert.Equal(t, tt.fails, s.Err != nil, name)
		assert.Equal(t, tt.part, s.Part != nil, name)
		s.Err, s.Part = nil, nil
		assert.Equal(t, tt.want, s, name)
	}
}
