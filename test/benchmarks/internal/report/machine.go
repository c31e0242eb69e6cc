package report

import (
	"fmt"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// A Machine is what a case ran on. It tells nothing that names the machine.
type Machine struct {
	CPU     string            `json:"cpu"`
	Cores   int               `json:"cores"`
	Memory  string            `json:"memory"`
	Kernel  string            `json:"kernel"`
	Load    string            `json:"load"` // averages when the case began
	Go      string            `json:"go"`
	Redis   string            `json:"redis"`
	Modules map[string]string `json:"modules"`
}

// modules are those whose version a figure depends on.
var modules = []string{
	"github.com/redis/go-redis/v9", "github.com/go-redsync/redsync/v4", "github.com/bsm/redislock", "github.com/redis/rueidis",
}

// ThisMachine describes the machine, all but the servers.
func ThisMachine() Machine {
	m := Machine{
		CPU:    field("/proc/cpuinfo", "model name"),
		Cores:  runtime.NumCPU(),
		Memory: memory(),
		Kernel: runtime.GOOS + "/" + runtime.GOARCH + " " + line("/proc/sys/kernel/osrelease"),
		Load:   line("/proc/loadavg"),
		Go:     runtime.Version(),
	}
	m.Modules = versions("go.mod")
	return m
}

// String describes the machine in one line.
func (m Machine) String() string {
	parts := []string{
		m.CPU, strconv.Itoa(m.Cores) + " cores", m.Memory + " of memory", m.Kernel, m.Go, "Redis " + m.Redis,
	}
	for _, path := range modules {
		if v := m.Modules[path]; v != "" {
			parts = append(parts, strings.TrimPrefix(path, "github.com/")+" "+v)
		}
	}
	return strings.Join(parts, ", ")
}

const unknown = "unknown"

// versions returns the versions that a go.mod asks for: test binaries don't tell.
func versions(path string) map[string]string {
	found := make(map[string]string)
	b, err := os.ReadFile(path) //nolint:gosec // this module's own
	if err != nil {
		return found
	}
	for l := range strings.Lines(string(b)) {
		if f := strings.Fields(strings.TrimPrefix(l, "require ")); len(f) >= 2 && slices.Contains(modules, f[0]) {
			found[f[0]] = f[1]
		}
	}
	return found
}

// memory returns the size of the memory.
func memory() string {
	var kilobytes float64
	if _, err := fmt.Sscanf(field("/proc/meminfo", "MemTotal"), "%f kB", &kilobytes); err != nil {
		return unknown
	}
	return fmt.Sprintf("%.0f GiB", kilobytes/(1<<20))
}

// field returns the value of the first line "name : value" of a file.
func field(path, name string) string {
	b, err := os.ReadFile(path) //nolint:gosec // one of two constants
	if err != nil {
		return unknown
	}
	for l := range strings.Lines(string(b)) {
		if key, value, found := strings.Cut(l, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return unknown
}

// line returns the first line of a file.
func line(path string) string {
	b, err := os.ReadFile(path) //nolint:gosec // one of two constants
	if err != nil {
		return unknown
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return first
}
