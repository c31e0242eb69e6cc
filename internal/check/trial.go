package check

import (
	_ "embed"
	"fmt"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/b0401464/redlock/internal/client"
	"github.com/b0401464/redlock/internal/finding"
	"github.com/b0401464/redlock/internal/script"
)

// try takes a lock on the node as its Locker would, extends it, tries what a line needs, and
// releases it when the other nodes have been asked too. All of them are asked for the same
// resource: who finds the lock of another one there has the same database behind it.
func (p *probe) try() {
	heard := p.listen()
	t := &p.node.Trial
	if t.Granted = p.take() && p.extend(); t.Granted && p.Lines {
		p.line(heard)
	}
	p.meet()
	if !p.holds {
		return
	}
	select {
	case <-p.all:
	case <-p.over: // but nothing is left there
	}
	p.release()
}

// failed takes note of an error of the node to a step. It reports whether there is one.
func (p *probe) failed(step string, script bool, err error) bool {
	t := &p.node.Trial
	switch {
	case err == nil:
		return false
	case finding.KeyDenied(err) && step == finding.Take && !p.holds:
		t.Denied = err
	case t.Err == nil:
		t.Step, t.Script, t.Err = step, script, err
	}
	return true
}

// take asks for the lock, first by SET where a Locker does, and then by the script, which
// tells who else has it.
func (p *probe) take() bool {
	p.began = time.Now()
	set := false
	if client.Own(p.client) && p.Quarantine == 0 || !p.Scripts {
		a, ok := p.setFirst()
		set = a.Reply == client.IsSet
		if p.holds = set || !ok; !ok || p.failed(finding.Take, false, a.Err) {
			return false
		}
	}
	if !p.Scripts {
		return p.whose(set)
	}
	a, ok := p.acquire()
	p.holds = p.holds || !ok
	if !ok || p.failed(finding.Take, true, a.Err) {
		return false
	}
	if n, granted := a.Reply.(int64); granted && n > 0 {
		p.holds, p.node.Trial.Forgot = true, set && p.lasts() // it is ours only now
		return true
	}
	all, _ := a.Reply.([]any)
	switch {
	case len(all) != 2:
		p.failed(finding.Take, true, fmt.Errorf("the script has answered %v", a.Reply))
	case all[1] == "ours":
		p.holds = true
		return true
	default:
		p.taken(all[1])
	}
	return false
}

// acquire runs the script that the locks of the Locker are acquired by.
func (p *probe) acquire() (client.Answer, bool) {
	s, keys, args := script.Acquire, []any{p.resource}, []any{p.values[p.index], p.life.Milliseconds()}
	if p.Fencing {
		s, keys = script.AcquireFenced, append(keys, script.Counter(p.resource))
		args = append(args, 1, p.Wall().UnixMicro(), p.life.Milliseconds())
	}
	all := s.Args(keys, args...)
	if p.Quarantine > 0 {
		s, all = s.Quarantine(all, p.Quarantine.Milliseconds()+1)
	}
	return p.ask(s.Eval(all)...)
}

// taken notes that the lock of another node is there, by its mark.
func (p *probe) taken(mark any) {
	for i, m := range p.marks {
		if m == mark {
			p.node.Trial.Same = i + 1
		}
	}
}

// lasts reports whether the key of the check cannot have run out.
func (p *probe) lasts() bool { return time.Since(p.began) < p.life/2 }

// setFirst is SET with NX. Where the server can tell, it is asked in the same packet whether that
// is on disk.
func (p *probe) setFirst() (client.Answer, bool) {
	set := func() client.SetNX {
		return client.SetNX{BoolCmd: redis.NewBoolCmd(p.ctx, "set", p.resource, p.values[p.index], "nx", "px", p.life.Milliseconds())}
	}
	pipeliner, ok := p.client.(*redis.Client)
	if in := p.node.Servers; !ok || len(in) != 1 || in[0].AOF != finding.AOFOn || !in[0].AtLeast(7, 2) {
		return p.process(p.Timeout, func() client.Answer {
			cmd := set()
			return client.Process(p.ctx, p.client, cmd, client.SendOnce(cmd))
		})
	}
	// Packets have connections of their own.
	a, ok := p.process(2*p.Timeout, func() client.Answer {
		return client.Together(p.ctx, pipeliner, set(), redis.NewCmd(p.ctx, "waitaof", 1, 0, p.patience().Milliseconds()))
	})
	if all, told := a.And.([]any); ok && told && a.Reply == client.IsSet && len(all) == 2 {
		p.late = all[0] == int64(0)
	}
	return a, ok
}

// patience is how long a server is asked to wait for its disk.
func (p *probe) patience() time.Duration { return min(p.Timeout/2, 100*time.Millisecond) }

// extend makes the lock last longer, by the name of the script, or by its source where the
// server does not know that.
func (p *probe) extend() bool {
	began := time.Now()
	a, ok := p.lengthen()
	if !ok || p.failed(finding.Extend, p.Scripts, a.Err) {
		return false
	}
	// Where each write waits for the disk, and that is so slow, this one has taken as long.
	p.node.Trial.Late = p.late && time.Since(began) < p.patience()/2
	if a.Reply != int64(1) {
		p.node.Trial.Forgot = p.node.Trial.Forgot || p.lasts()
		return false
	}
	return true
}

// lengthen runs what extends a lock, and answers 1 if that has.
func (p *probe) lengthen() (client.Answer, bool) {
	if !p.Scripts {
		return p.setIfOurs()
	}
	args := script.Extend.Args([]any{p.resource}, p.values[p.index], (p.life + time.Second).Milliseconds())
	a, ok := p.ask(args...)
	if ok && redis.HasErrorPrefix(a.Err, "NOSCRIPT") {
		a, ok = p.ask(script.Extend.Eval(args)...)
	}
	return a, ok
}

// release removes what may be there of the lock, and has the script tell which command of the
// server does the same.
func (p *probe) release() {
	a, ok := p.remove()
	if ok && a.Err != nil {
		p.drop(p.resource)
	}
	if p.Fencing {
		p.drop(script.Counter(p.resource))
	}
	if !ok || p.failed(finding.Release, p.Scripts, a.Err) {
		return
	}
	if all, _ := a.Reply.([]any); len(all) == 3 && slices.Contains([]any{"delex", "delifeq", "none"}, all[2]) {
		p.node.Trial.Deletes, _ = all[2].(string)
	}
}

// remove runs what releases a lock.
func (p *probe) remove() (client.Answer, bool) {
	if !p.Scripts {
		return p.deleteIfOurs()
	}
	args := script.Release.Args([]any{p.resource}, p.values[p.index])
	if client.Own(p.client) {
		args = append(args, "try")
	}
	return p.last(script.Release.Eval(args)...)
}

// drop deletes a key of the check, or has it run out where the user may not do that.
func (p *probe) drop(key string) {
	for _, args := range [][]any{{"del", key}, {"pexpire", key, 1}, {"set", key, "", "px", 1}} {
		if a, ok := p.last(args...); !ok || a.Err == nil {
			return
		}
	}
}

// last is ask for what is sent after the check is over, too. Nobody waits for it then.
func (p *probe) last(args ...any) (client.Answer, bool) {
	select {
	case <-p.over:
		p.Go(func() { once(p.ctx, p.client, args...) })
		return client.Answer{}, false
	default:
		return p.ask(args...)
	}
}

//go:embed line.lua
var lineScript string

// lineLasts is how long what is tried of a line lasts if it cannot be deleted.
const lineLasts = time.Second

// line tries what the line of a resource needs, and whether a message comes.
func (p *probe) line(heard *listening) {
	t := &p.node.Trial
	if heard == nil {
		return
	}
	if t.HearErr = heard.confirmed(p); p.gone() {
		return
	}
	line, reservation := script.Line(p.resource)
	a, ok := p.ask("eval", lineScript, 2, line, reservation, heard.channel, lineLasts.Milliseconds())
	if !ok {
		return
	}
	if t.LineErr = a.Err; a.Err != nil {
		return
	}
	all, _ := a.Reply.([]any)
	for _, name := range all[min(1, len(all)):] {
		if name, is := name.(string); is {
			t.Refused = append(t.Refused, name)
		}
	}
	if t.HearErr == nil && !t.Refuses("publish") && !heard.message(p) && !p.node.Cut {
		t.Unheard = p.Timeout
	}
}
