package lock_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func TestEveryWaitLastsAsLongAsItsBoundSays(t *testing.T) {
	rig.Long(t)
	for line, opts := range rig.LineAndNone {
		for fence, call := range map[string][]redlock.LockOption{"plain": nil, "fenced": {redlock.WithFencing(redlock.Forever)}} {
			for _, bound := range []string{"default", "MaxWait", "context"} {
				for _, which := range []string{"all frozen", "others frozen", "slow 300ms", "slow 900ms", "slow one after another"} {
					t.Run(fmt.Sprint(line, ", ", fence, ", ", bound, ", ", which), func(t *testing.T) {
						for _, at := range []int{0, 2500, 3500, 3900, 3999} {
							for _, several := range []bool{false, true} {
								synctest.Test(t, func(t *testing.T) {
									nodes := rig.New(t, 3)
									gate, others := rig.FindGate(t, nodes)
									rig.Lock(t, rig.NewLocker(t, nodes), redlock.WithAutoExtend(redlock.Forever))
									l := rig.NewLocker(t, nodes, opts...)
									rig.WarmUp(t, l)
									for _, n := range nodes {
										n.Slow(10 * time.Millisecond)
									}
									for range 8 { // who knows them as next door asks SET first, and the script if that refuses
										rig.LockOnce(t, l, "met")
									}
									time.AfterFunc(time.Duration(at)*time.Millisecond, func() {
										switch which {
										case "all frozen":
											gate.Freeze()
											fallthrough
										case "others frozen":
											others[0].Freeze()
											others[1].Freeze()
										case "slow 300ms":
											for _, n := range nodes {
												n.Slow(300 * time.Millisecond)
											}
										case "slow 900ms":
											for _, n := range nodes {
												n.Slow(900 * time.Millisecond)
											}
										default:
											gate.Slow(240 * time.Millisecond)
											others[0].Slow(980 * time.Millisecond)
											others[1].Slow(980 * time.Millisecond)
										}
									})
									ctx, more, less, all := context.Background(), time.Duration(0), time.Duration(0), call
									switch bound {
									case "default":
										more = 2500 * time.Millisecond // the last attempt: half a node timeout at the gate, one elsewhere, one for a token
									case "MaxWait":
										all = append(slices.Clip(all), redlock.WithMaxWait(4*time.Second))
										if less = 100 * time.Millisecond; strings.HasPrefix(which, "slow") {
											less = time.Second // no attempt is begun that cannot be answered
										}
									default:
										c, cancel := context.WithTimeout(ctx, 4*time.Second)
										defer cancel()
										ctx, all = c, append(slices.Clip(all), rig.WaitForever)
									}
									resources := []string{"a"}
									if several {
										resources = append(resources, "b")
									}
									start := time.Now()
									_, err := l.LockAll(ctx, resources, rig.TTL, all...)
									took := time.Since(start)
									assert.LessOrEqual(t, took, 4*time.Second+more, "at %d, several %t: %v", at, several, err)
									assert.GreaterOrEqual(t, took, 4*time.Second-less, "at %d, several %t: %v", at, several, err)
									for _, n := range nodes {
										n.Thaw()
										n.Slow(0)
									}
								})
							}
						}
					})
				}
			}
		}
	}
}
