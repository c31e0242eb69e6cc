package readme_test

import (
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/b0401464/redlock"
	"github.com/b0401464/redlock/test/rig"
)

func isProgram(block string) bool { return strings.HasPrefix(block, "package main\n") }

// flat returns code without its indentation, each line between line breaks.
func flat(code string) string {
	var b strings.Builder
	b.WriteByte('\n')
	for line := range strings.Lines(code) {
		b.WriteString(strings.TrimSpace(line) + "\n")
	}
	return b.String()
}

// inRoot returns the files that match, by patterns from the root of the module.
func inRoot(t *testing.T, patterns ...string) []string {
	t.Helper()
	var all []string
	for _, pattern := range patterns {
		files, err := filepath.Glob(filepath.Join(rig.Root(t), pattern))
		require.NoError(t, err)
		all = append(all, files...)
	}
	return all
}

func TestReadmeShowsCodeOfTheExamplesAsItIs(t *testing.T) {
	files := inRoot(t, "example_test.go", "examples/recipes/*.go")
	var examples strings.Builder
	for _, name := range files {
		code, err := os.ReadFile(name) //nolint:gosec // a file of this module
		require.NoError(t, err)
		examples.WriteString(flat(string(code)))
	}
	for _, block := range rig.Blocks(t, "go") {
		if !isProgram(block) {
			assert.True(t, strings.Contains(examples.String(), flat(block)), "%v do not have these lines:\n%s", files, block)
		}
	}
}

func TestReadmeShowsProgramsThatCompile(t *testing.T) {
	t.Parallel()
	programs := 0
	for i, block := range rig.Blocks(t, "go") {
		if isProgram(block) {
			programs++
			build(t, fmt.Sprintf("readme%d", i), block)
		}
	}
	assert.Positive(t, programs)
}

// build builds a program as if it were a package of this module.
func build(t *testing.T, name, program string) {
	t.Helper()
	root, dir := rig.Root(t), t.TempDir()
	source, list := filepath.Join(dir, "main.go"), filepath.Join(dir, "overlay.json")
	require.NoError(t, os.WriteFile(source, []byte(program), 0o600)) //nolint:gosec // a file of this test
	overlay, err := json.Marshal(map[string]any{
		"Replace": map[string]string{filepath.Join(root, name, "main.go"): source},
	})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(list, overlay, 0o600))
	cmd := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "-o", filepath.Join(dir, "program"), "./"+name) //nolint:gosec // names of this test
	cmd.Dir = root
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%s\n%s", out, program)
}

// declared returns the names of what Go files declare.
func declared(t *testing.T, files []string, skip func(file string) bool, names func(ast.Decl) []string) []string {
	t.Helper()
	var all []string
	for _, name := range files {
		if skip(name) {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range file.Decls {
			all = append(all, names(d)...)
		}
	}
	require.NotEmpty(t, all)
	return all
}

func isTest(file string) bool { return strings.HasSuffix(file, "_test.go") }

// functions returns the functions, not the methods, whose name begins with prefix.
func functions(prefix string) func(ast.Decl) []string {
	return func(d ast.Decl) []string {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil && strings.HasPrefix(f.Name.Name, prefix) {
			return []string{f.Name.Name}
		}
		return nil
	}
}

func TestReadmeListsEveryOption(t *testing.T) {
	table := rig.Section(t, "Options")
	for _, name := range declared(t, inRoot(t, "*.go"), isTest, functions("With")) {
		assert.True(t, strings.Contains(table, "\n| `"+name+"("), "the table of options lacks %s", name)
	}
}

func TestReadmeListsEveryError(t *testing.T) {
	errs := rig.Section(t, "Errors")
	for _, name := range declared(t, inRoot(t, "errors.go"), isTest, func(d ast.Decl) []string {
		var found []string
		ast.Inspect(d, func(n ast.Node) bool {
			if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Err") {
				found = append(found, v.Names[0].Name)
			}
			return true
		})
		return found
	}) {
		assert.True(t, strings.Contains(errs, "\n| `"+name+"`"), "the table of errors lacks %s", name)
	}
}

func TestReadmeNamesOnlyTestsThatExist(t *testing.T) {
	exist := declared(t, inRoot(t, "*_test.go", "examples/*/*_test.go", "test/*/*/*_test.go", "test/*/*_test.go"), func(string) bool { return false }, functions("Test"))
	named := regexp.MustCompile(`\bTest[A-Z]\w*`).FindAllString(rig.Readme(t), -1)
	require.NotEmpty(t, named)
	for _, name := range named {
		assert.True(t, slices.Contains(exist, name), "there is no %s", name)
	}
}

func TestReadmeLinksToWhatExists(t *testing.T) {
	text := rig.Fence.ReplaceAllString(rig.Readme(t), "")
	for _, m := range regexp.MustCompile(`\]\(([^)]+)\)`).FindAllStringSubmatch(text, -1) {
		switch file, title, _ := strings.Cut(m[1], "#"); {
		case strings.Contains(file, "://"):
		case file != "":
			assert.FileExists(t, filepath.Join(rig.Root(t), file))
		default:
			heading := "\n## " + strings.ReplaceAll(title, "-", " ") + "\n"
			assert.True(t, strings.Contains(strings.ToLower(text), heading), "there is no section %s", title)
		}
	}
}

// TestReadmeShowsARealErrorText makes the error of the section on errors: one
// node of three answers, one refuses connections, one swallows them.
func TestReadmeShowsARealErrorText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		node := miniredis.NewMiniRedis()
		node.ClockTTL(true)
		dials := []func() (net.Conn, error){
			node.Dial,
			func() (net.Conn, error) {
				addr := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 2), Port: 6379}
				return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: addr, Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
			},
			func() (net.Conn, error) { <-ended; return nil, net.ErrClosed },
		}
		var clients []*redis.Client
		for i, dial := range dials {
			c := redis.NewClient(&redis.Options{
				Addr:                     fmt.Sprintf("10.0.0.%d:6379", i+1),
				Dialer:                   func(context.Context, string, string) (net.Conn, error) { return dial() },
				PoolSize:                 100,
				DialerRetries:            1,
				MaxRetries:               -1,
				MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
			})
			t.Cleanup(func() { _ = c.Close() })
			clients = append(clients, c)
		}
		t.Cleanup(node.Close)
		l, err := redlock.New(clients)
		require.NoError(t, err)
		_, err = l.TryLock(t.Context(), "invoice:42", 10*time.Second)
		require.ErrorIs(t, err, redlock.ErrNoQuorum)
		close(ended)
		require.NoError(t, l.Shutdown(t.Context()))

		shown := strings.Join(strings.Fields(rig.Section(t, "Errors")), " ") // the README breaks the line
		assert.Contains(t, shown, err.Error())
	})
}
