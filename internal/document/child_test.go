package document

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// slow is a document that takes seconds to read.
func slow() []byte { return zipRepeat(docxParts("@"), "word/document.xml", "<w:p></w:p>", 20_000_000) }

func TestDefaults(t *testing.T) {
	t.Parallel()
	l := New(Limits{}).limits
	if l.Bytes != 4_718_592 || l.Pages != 1000 || l.Text != 16<<20 || l.Unpacked != 256<<20 || l.Memory != 256<<20 || l.Time != 5*time.Second || l.Parallel != 2 {
		t.Errorf("defaults: %+v", l)
	}
	if l := New(Limits{Memory: 1}).limits; l.Memory != leastMemory {
		t.Errorf("least memory: %d", l.Memory)
	}
}

func TestLimits(t *testing.T) {
	t.Parallel()
	doc := simplePDF("one", "two", "three").bytes()
	for name, c := range map[string]struct {
		limits Limits
		format Format
		data   []byte
		kind   Kind
		say    string
	}{
		"bytes":    {Limits{Bytes: 10}, PDF, doc, TooLarge, ""},
		"pages":    {Limits{Pages: 2}, PDF, doc, TooLarge, "has more than 2 pages"},
		"text":     {Limits{Text: 5}, PDF, doc, TooLong, "has more than 5 bytes of text"},
		"plain":    {Limits{Text: 5}, TXT, []byte("123456"), TooLong, "has more than 5 bytes of text"},
		"unpacked": {Limits{Unpacked: 1 << 20}, DOCX, slow(), TooLarge, "unpacks to more than 1 MB"},
		"time":     {Limits{Time: 300 * time.Millisecond}, DOCX, slow(), TooLong, "takes longer than 300ms to read"},
		"memory":   {Limits{Memory: 128 << 20, Time: time.Minute}, DOCX, zipRepeat(docxParts(para("", "@")), "word/document.xml", "a", 250<<20), TooLarge, "takes more than 128 MB of memory to read"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := New(c.limits).Text(t.Context(), c.format, c.data)
			s := refused(name, c.format, c.data, c.kind, c.say)
			s.check(t, got, err)
			if !IsKind(err, c.kind) || IsKind(err, 0) {
				t.Errorf("IsKind of %v", err)
			}
		})
	}
}

// TestCommand: what is wrong with the reading process is no fault of a caller,
// and nothing of it is told to one.
func TestCommand(t *testing.T) {
	t.Parallel()
	for name, command := range map[string][]string{
		"missing":   {"/no/such/program"},
		"fails":     {"false"},
		"says less": {"echo", "{}"},
		"says what": {"echo", "no JSON"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := New(Limits{Command: command}).Text(t.Context(), DOCX, docxOf(""))
			if _, ok := errors.AsType[*Error](err); (err == nil || ok) && name != "says less" || got != "" {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	got, err := New(Limits{Command: []string{"sleep", "60"}, Time: 100 * time.Millisecond}).Text(t.Context(), DOCX, docxOf(""))
	s := refused("hangs", DOCX, nil, TooLong, "takes longer than 100ms to read")
	s.check(t, got, err)
}

// TestCancel: a caller that goes away ends the process that reads for it, and
// does not wait for a turn.
func TestCancel(t *testing.T) {
	t.Parallel()
	e := New(Limits{Parallel: 1, Time: time.Minute, Command: []string{"sleep", "60"}})
	ended := false
	e.limits.observe = func(*os.ProcessState) { ended = true }
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := e.Text(ctx, DOCX, docxOf("")); !errors.Is(err, context.DeadlineExceeded) || !ended {
		t.Errorf("Text = %v, the process ended: %v", err, ended)
	}
	e.turns <- struct{}{} // somebody has the only turn
	if _, err := e.Text(ctx, DOCX, docxOf("")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("without a turn: %v", err)
	}
	if text, err := e.Text(t.Context(), TXT, []byte("plain")); text != "plain" || err != nil {
		t.Errorf("plain text needs no turn: %q, %v", text, err)
	}
}

// TestParallel: many callers get their own text, two at a time.
func TestParallel(t *testing.T) {
	t.Parallel()
	e := New(Limits{})
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			want := strings.Repeat("x", i+1)
			if got, err := e.Text(t.Context(), PDF, simplePDF(want).bytes()); got != want || err != nil {
				t.Errorf("got %q, %v; want %q", got, err, want)
			}
			if n := len(e.turns); n > 2 {
				t.Errorf("%d at a time", n)
			}
		})
	}
	wg.Wait()
}

// TestChildAlone: a reading process goes when its parent is gone, and answers
// nothing to what is no request.
func TestChildAlone(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data := slow()
	long := New(Limits{Time: time.Minute}).limits
	for name, c := range map[string]struct {
		size int
		head string
		hold bool
	}{
		"gone while it reads": {size: len(data)},
		"gone while it waits": {size: len(data) + 1},
		"no request":          {head: "{\n"},
		"no line":             {head: "GET / HTTP/1.1"},
		"too much":            {size: long.Bytes + 1},
		"negative":            {size: -1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			head := c.head
			if head == "" {
				head = mustJSON(t, request{Format: DOCX, Limits: long, Size: c.size}) + "\n"
			}
			cmd := exec.CommandContext(t.Context(), exe, Argument)
			cmd.Env = []string{}
			var out bytes.Buffer
			cmd.Stdout = &out
			cmd.Stdin = io.MultiReader(strings.NewReader(head), bytes.NewReader(data))
			begin := time.Now()
			err := cmd.Run()
			if cmd.ProcessState.ExitCode() != exitRequest || out.Len() != 0 {
				t.Errorf("ended with %v and said %q", err, out.String())
			}
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("it took %v to go", took)
			}
		})
	}
}
