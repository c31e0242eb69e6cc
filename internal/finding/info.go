package finding

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// An Info is what INFO says of a server. What it does not say is zero.
type Info struct {
	Product     string // "redis", "valkey", …
	Version     string // of the product
	Speaks      string // the version of Redis that it says it is
	Mode        string // "standalone", "cluster", "sentinel"
	Role        Role
	RunID       string // of this run of the server
	Replication string // of a primary and all its replicas
	HasUptime   bool
	Uptime      time.Duration
	Policy      string // maxmemory-policy
	MaxMemory   int64  // 0 for no bound
	Evicted     int64  // keys so far
	AOF         AOF
	Enterprise  bool
	Merges      bool // it takes writes elsewhere for its own: Active-Active and the like
}

// A Role is that of a server in replication.
type Role uint8

// Roles.
const (
	RoleUnknown Role = iota
	Primary
	Replica
)

// An AOF is what is known of an append-only file.
type AOF uint8

// States of one.
const (
	AOFUnknown AOF = iota
	AOFOff
	AOFOn
	AOFDelayed // on, and not written to disk with each command
	AOFFailing // the last write to it has failed
)

// crdt is in the line of the module that merges writes of several sites.
const crdt = "name=crdt"

// fields returns the fields of the text that INFO answers with.
func fields(text string) map[string]string {
	all := make(map[string]string)
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if key, value, found := strings.Cut(line, ":"); found && key != "" && key[0] != '#' {
			if key == "module" && !strings.Contains(value, crdt) { // there may be several
				continue
			}
			all[key] = value
		}
	}
	return all
}

// products are the servers that tell a version of their own, by the field that tells it.
var products = []string{"valkey", "garnet", "dragonfly", "kvrocks"}

// ParseInfo returns what INFO says.
func ParseInfo(text string) Info {
	f := fields(text)
	in := Info{
		Product: "redis", Version: f["redis_version"], Speaks: f["redis_version"], Mode: cmp.Or(f["redis_mode"], f["server_mode"]),
		RunID: f["run_id"], Replication: f["master_replid"], Policy: f["maxmemory_policy"], Role: roleOf(f["role"]), AOF: aofOf(f),
		MaxMemory: number(f["maxmemory"]), Evicted: number(f["evicted_keys"]),
	}
	for _, product := range products {
		if version := f[product+"_version"]; version != "" {
			in.Product, in.Version = product, strings.TrimPrefix(version, "df-v")
		}
	}
	if in.Version == "" {
		in.Product = ""
	}
	if f["cluster_enabled"] == "1" {
		in.Mode = "cluster"
	}
	if seconds, err := strconv.ParseInt(f["uptime_in_seconds"], 10, 32); err == nil && seconds >= 0 {
		in.HasUptime, in.Uptime = true, time.Duration(seconds)*time.Second
	}
	if in.Product == "dragonfly" && in.AOF == AOFUnknown {
		in.AOF = AOFOff // it has snapshots only
	}
	if f["cache_mode"] == "cache" {
		in.Policy = "cache_mode"
	}
	in.Enterprise = f["rlec_version"] != ""
	in.Merges = f["role"] == "active-replica" || f["module"] != ""
	for key := range f {
		in.Merges = in.Merges || strings.HasPrefix(key, "crdt_")
	}
	return in
}

func roleOf(role string) Role {
	switch role {
	case "master", "primary", "active-replica":
		return Primary
	case "slave", "replica":
		return Replica
	default:
		return RoleUnknown
	}
}

func aofOf(f map[string]string) AOF {
	switch {
	case f["aof_enabled"] == "0":
		return AOFOff
	case f["aof_enabled"] != "1":
		return AOFUnknown
	case f["aof_last_write_status"] != "" && f["aof_last_write_status"] != "ok":
		return AOFFailing
	case number(f["aof_delayed_fsync"]) > 0 || number(f["aof_pending_bio_fsync"]) > 0:
		return AOFDelayed // with "always" the server itself writes, before it answers
	default:
		return AOFOn
	}
}

// number returns a number that is not negative; 0 for anything else.
func number(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// AtLeast reports whether the server says it is this version of Redis, or a later one.
func (in *Info) AtLeast(major, minor int) bool {
	first, rest, _ := strings.Cut(in.Speaks, ".")
	second, _, _ := strings.Cut(rest, ".")
	a, err := strconv.Atoi(first)
	b, _ := strconv.Atoi(second)
	return err == nil && (a > major || a == major && b >= minor)
}
