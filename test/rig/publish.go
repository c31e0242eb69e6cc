package rig

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"
)

// ScriptsMayNotPublish is a hook of a client whose server refuses PUBLISH within scripts, as a
// Cluster of a provider does.
type ScriptsMayNotPublish struct {
	NorClient bool // may not either
}

type replyError string

func (e replyError) Error() string { return string(e) }
func (replyError) RedisError()     {}

// ProcessHook has scripts sent by their source, and other ones than those.
func (h ScriptsMayNotPublish) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		args := cmd.Args()
		switch args[0] {
		case "evalsha":
			return refuse(cmd, "NOSCRIPT No matching script.")
		case "publish":
			if h.NorClient {
				return refuse(cmd, "NOPERM No permissions to run the 'publish' command")
			}
		case "eval":
			args[1] = strings.ReplaceAll(args[1].(string), `"PUBLISH"`, `"PUBLISH-NOT-HERE"`)
		}
		return next(ctx, cmd)
	}
}

func refuse(cmd redis.Cmder, text replyError) error {
	cmd.SetErr(text)
	return text
}

// ProcessPipelineHook refuses nothing: the commands of a line are no pipelines.
func (ScriptsMayNotPublish) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

// DialHook dials.
func (ScriptsMayNotPublish) DialHook(next redis.DialHook) redis.DialHook { return next }
