//go:build linux

package main_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"html"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var record = flag.Bool("record", false, "record the session of the README as demo.cast and demo.svg")

// TestRecord records a session on real servers: go test -run TestRecord -record .
func TestRecord(t *testing.T) {
	if !*record {
		t.Skip("-record was not given")
	}
	w := newWorld(t, 3)
	program(t, w.file("redlock"), "exec env "+asTool+"=1 "+self(t)+` "$@"`)
	program(t, w.file("deploy.sh"), `trap 'echo "deploy.sh: cleaning up"; exit 1' TERM
echo "deploy.sh: begins"; for i in $(seq $1); do sleep 0.5; done; echo "deploy.sh: done"`)
	w.env = append(w.env, "PATH="+w.dir+":"+os.Getenv("PATH"))
	s := w.open("bash", "--norc", "--noprofile", "--noediting", "-i")
	s.expect(prompt)
	r := &recording{start: time.Now()}
	r.add("$ ")
	s.tap = r.add
	// enter types a line, waits for what it prints, and leaves time to read that.
	enter := func(line, until string) {
		s.typed(line + "\r")
		s.expect(line)
		s.expect(until)
		time.Sleep(time.Second)
	}
	enter("redlock run --owner 'web-1 release 41' deploy -- deploy.sh 14 &", "begins")
	s.typed("\r")
	s.expect("\r\n" + prompt)
	enter("redlock run --try --owner 'web-2 release 42' deploy -- deploy.sh 8; echo \"exit code $?\"", "exit code 75")
	enter("redlock who deploy", prompt)
	enter("redlock run --wait 1m --token deploy -- sh -c 'echo \"it is our turn, with token $REDLOCK_TOKEN\"'", prompt)
	enter("# what if the nodes freeze?", prompt)
	s.typed("redlock run --ttl 4s deploy -- deploy.sh 60; echo \"exit code $?\"\r")
	s.expect("begins")
	w.freeze()
	s.expect("exit code 74")
	s.expect(prompt)
	s.tap = nil
	r.write(t)
}

func program(t *testing.T, path, body string) {
	t.Helper()
	require.NoError(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o700)) //nolint:gosec // a program
}

// A recording is what a terminal has shown, and when.
type recording struct {
	start  time.Time
	chunks []chunk
}

type chunk struct {
	at   time.Duration
	text string
}

func (r *recording) add(text string) {
	r.chunks = append(r.chunks, chunk{time.Since(r.start), strings.ReplaceAll(text, prompt, "$ ")})
}

const columns = 116

// write writes the recording as asciinema plays it, and as a picture.
func (r *recording) write(t *testing.T) {
	t.Helper()
	var cast strings.Builder
	encode := json.NewEncoder(&cast)
	require.NoError(t, encode.Encode(map[string]any{"version": 2, "width": columns, "height": 40, "title": "redlock run"}))
	for _, c := range r.chunks {
		require.NoError(t, encode.Encode([]any{c.at.Seconds(), "o", c.text}))
	}
	require.NoError(t, os.WriteFile("demo.cast", []byte(cast.String()), 0o644))  //nolint:gosec // to be published
	require.NoError(t, os.WriteFile("demo.svg", []byte(draw(r.lines())), 0o644)) //nolint:gosec // likewise
}

// lines returns the lines of the terminal, each with the time when it began. Lines that are
// too long are broken as the terminal does.
func (r *recording) lines() []chunk {
	var lines []chunk
	begun := false
	for _, c := range r.chunks {
		for _, ch := range strings.ReplaceAll(c.text, "\r", "") {
			last := len(lines) - 1
			switch {
			case ch == '\n' && begun:
				begun = false
			case ch == '\n', !begun, len([]rune(lines[last].text)) == columns:
				lines = append(lines, chunk{at: c.at})
				begun = ch != '\n'
			}
			if ch != '\n' {
				lines[len(lines)-1].text += string(ch)
			}
		}
	}
	return lines
}

// draw returns a picture in which the lines appear one after the other. What cannot move
// shows all of them.
func draw(lines []chunk) string {
	const top, step, width = 56, 17, 900
	var b strings.Builder
	height := top + step*len(lines) + 6
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="100%%" role="img" aria-labelledby="t">
<title id="t">A session with redlock run: a second run is refused, a third one waits, and a command ends before its lock does when the nodes freeze</title><style>
text { font: 12.2px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #cbd5e1; white-space: pre }
.typed { fill: #ffffff; font-weight: bold }
.told { fill: #fbbf24 }
.line { animation: appear 1ms both }
@keyframes appear { from { opacity: 0 } to { opacity: 1 } }
@media (prefers-reduced-motion: reduce) { .line { animation: none } }
</style>
<rect width="%d" height="%d" rx="8" fill="#0f172a"/>
<circle cx="22" cy="20" r="6" fill="#f87171"/><circle cx="42" cy="20" r="6" fill="#fbbf24"/><circle cx="62" cy="20" r="6" fill="#4ade80"/>
`, width, height, width, height)
	for i, l := range lines {
		class := "line"
		switch {
		case strings.HasPrefix(l.text, "$ "):
			class += " typed"
		case strings.HasPrefix(l.text, "redlock: "):
			class += " told"
		}
		fmt.Fprintf(&b, `<text class="%s" style="animation-delay:%.1fs" x="16" y="%d" xml:space="preserve">%s</text>`+"\n",
			class, l.at.Seconds(), top+step*i, html.EscapeString(l.text))
	}
	b.WriteString("</svg>\n")
	return b.String()
}
