package document

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"
)

// Argument is the one argument by which a program is told to call Child.
const Argument = "extract-document"

// InChild reports whether this process was started to read one document. Main
// functions (and TestMain of packages whose tests read documents) ask it first:
//
//	if document.InChild() {
//		os.Exit(document.Child(os.Stdin, os.Stdout))
//	}
func InChild() bool { return len(os.Args) == 2 && os.Args[1] == Argument }

// The wire between the two processes: one line of JSON, then as many bytes as it
// says, in each direction. The parent holds its end open until it has the
// answer; the child goes as soon as that end closes.
type request struct {
	Format Format
	Limits Limits
	Size   int
}

type answer struct {
	Kind    Kind   `json:",omitempty"`
	Message string `json:",omitempty"`
	Size    int
}

// Exit codes of Child.
const (
	exitDone    = 0
	exitRequest = 3 // no request, or the parent is gone
	exitMemory  = 4
	exitTime    = 5
)

// Child reads one document from in, writes its text to out and returns the exit
// code. It lowers the limits of the whole process and watches over its memory
// and time, so it is for a process that does nothing else.
func Child(in io.Reader, out io.Writer) int {
	debug.SetTraceback("none") // what is in memory is none of anybody's business
	r := bufio.NewReader(in)
	line, err := r.ReadBytes('\n')
	if err != nil {
		return exitRequest
	}
	var q request
	if json.Unmarshal(line, &q) != nil || q.Size < 0 || q.Size > q.Limits.Bytes {
		return exitRequest
	}
	confine(q.Limits)
	data := make([]byte, q.Size)
	if _, err := io.ReadFull(r, data); err != nil {
		return exitRequest
	}
	go func() {
		_, _ = io.Copy(io.Discard, r) // blocks until the parent is gone or closes
		os.Exit(exitRequest)
	}()
	text, err := extract(q.Format, data, q.Limits)
	a := answer{Size: len(text)}
	if e, ok := errors.AsType[*Error](err); ok {
		a.Kind, a.Message = e.Kind, e.Message
	}
	head, err := json.Marshal(a)
	if err != nil {
		return exitRequest
	}
	if _, err := out.Write(append(head, '\n')); err != nil {
		return exitRequest
	}
	if _, err := io.WriteString(out, text); err != nil {
		return exitRequest
	}
	return exitDone
}

// maxStack of the child: deep nesting ends it long before its memory does.
const maxStack = 64 << 20

// confine bounds what this process may use from now on. The kernel enforces the
// memory where it can; a watch, which works everywhere, comes to the same end.
func confine(l Limits) {
	runtime.GOMAXPROCS(2)
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(l.Memory / 2)
	limitProcess(l)
	time.AfterFunc(l.Time+time.Second, func() { os.Exit(exitTime) }) // the parent is quicker unless it is stopped
	go func() {
		use := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
		for range time.Tick(5 * time.Millisecond) {
			metrics.Read(use)
			if int64(use[0].Value.Uint64()-use[1].Value.Uint64()) > l.Memory-programBytes { // #nosec G115 -- sizes of memory fit
				os.Exit(exitMemory)
			}
		}
	}()
}

// programBytes is kept for the code and the constants of the program itself,
// which count as memory of the process though nobody allocates them.
const programBytes = 40 << 20

// inChild reads a document in a process of its own.
func (e *Extractor) inChild(ctx context.Context, f Format, data []byte) (string, error) {
	if InChild() {
		return "", errors.New("read document: this process reads one already; its main function must call document.Child")
	}
	argv := e.limits.Command
	if len(argv) == 0 {
		exe, err := os.Executable()
		if err != nil {
			return "", fmt.Errorf("read document: %w", err)
		}
		argv = []string{exe, Argument}
	}
	head, err := json.Marshal(request{Format: f, Limits: e.limits, Size: len(data)})
	if err != nil {
		return "", fmt.Errorf("read document: %w", err)
	}
	timed, cancel := context.WithTimeout(ctx, e.limits.Time)
	defer cancel()
	cmd := exec.CommandContext(timed, argv[0], argv[1:]...) // #nosec G204 -- this program, or what the operator named
	cmd.Env = []string{}
	cmd.WaitDelay = time.Second
	stdout := &capped{max: e.limits.Text + 64<<10}
	stderr := &capped{max: 4 << 10}
	cmd.Stdout, cmd.Stderr = stdout, stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return "", fmt.Errorf("read document: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("read document: %w", err)
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		if _, err := in.Write(append(head, '\n')); err == nil {
			_, _ = in.Write(data) // a child that went away is noticed below
		}
	}()
	waitErr := cmd.Wait() // closes in
	<-sent
	if e.limits.observe != nil {
		e.limits.observe(cmd.ProcessState)
	}
	if text, err, ok := stdout.answer(); ok {
		return text, err
	}
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case timed.Err() != nil || cmd.ProcessState.ExitCode() == exitTime:
		return "", refuse(TooLong, "takes longer than %v to read", e.limits.Time)
	case cmd.ProcessState.ExitCode() == exitMemory, stderr.says("out of memory"), stderr.says("allocate memory"), stderr.says("cannot allocate"):
		return "", refuse(TooLarge, "takes more than %d MB of memory to read", e.limits.Memory>>20)
	case stderr.says("stack exceeds"), stderr.says("stack overflow"):
		return "", refuse(Broken, "is not a valid %s: it is nested too deeply", f)
	}
	return "", fmt.Errorf("read document: the reading process ended without an answer: %w", waitErr)
}

// capped keeps what a process writes, up to max bytes.
type capped struct {
	b   []byte
	max int
}

func (c *capped) Write(p []byte) (int, error) {
	c.b = append(c.b, p[:min(len(p), c.max-len(c.b))]...)
	return len(p), nil
}

func (c *capped) says(text string) bool { return strings.Contains(string(c.b), text) }

// answer reads what Child wrote. ok is false when it is not whole.
func (c *capped) answer() (text string, err error, ok bool) {
	line, rest, found := bytes.Cut(c.b, []byte("\n"))
	var a answer
	if !found || json.Unmarshal(line, &a) != nil || a.Size != len(rest) {
		return "", nil, false
	}
	if a.Kind != 0 {
		return "", &Error{Kind: a.Kind, Message: a.Message}, true
	}
	return string(rest), nil, true
}
