package check

import (
	"errors"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
	"github.com/b0401464/redlock/internal/script"
)

// whose says whose lock there is after SET has asked for it, as a Locker does that runs no
// scripts.
func (p *probe) whose(set bool) bool {
	a, ok := p.ask("get", p.resource)
	if errors.Is(a.Err, redis.Nil) {
		p.node.Trial.Forgot = set && p.lasts()
		return false
	}
	if !ok || p.failed(finding.Take, false, a.Err) {
		return false
	}
	if value, _ := a.Reply.(string); value != p.values[p.index] {
		p.taken(script.Hash(value)[:8])
		return false
	}
	p.holds = true
	a, ok = p.ask("pttl", p.resource)
	return ok && !p.failed(finding.Take, false, a.Err)
}

// setIfOurs extends the lock. It answers 1 if it has.
func (p *probe) setIfOurs() (client.Answer, bool) {
	value := p.values[p.index]
	return p.process(p.Timeout, func() client.Answer {
		cmd := client.SetNX{BoolCmd: redis.NewBoolCmd(p.ctx, "set", p.resource, value, "ifeq", value, "px", p.life.Milliseconds())}
		return client.Process(p.ctx, p.client, cmd, client.SendOnce(cmd))
	})
}

// deleteIfOurs releases the lock by the command that the server has for it, and answers as the
// script does.
func (p *probe) deleteIfOurs() (a client.Answer, ok bool) {
	value := p.values[p.index]
	for _, args := range [][]any{{"delex", p.resource, "ifeq", value}, {"delifeq", p.resource, value}} {
		if a, ok = p.last(args...); !ok || !client.Unknown(a.Err) {
			a.Reply = []any{a.Reply, "native", args[0]}
			break
		}
	}
	return a, ok
}
