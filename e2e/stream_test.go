package e2e

import (
	"encoding/json"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// readUsage prints the usage records of a server's database as JSON, oldest first.
const readUsage = `
import json, sqlite3, sys
db = sqlite3.connect("file:" + sys.argv[1] + "?mode=ro", uri=True)
rows = db.execute("SELECT operation, input_tokens, output_tokens, status, error_code FROM usage_records ORDER BY seq")
print(json.dumps([dict(zip(("operation", "input", "output", "status", "error"), r)) for r in rows]))
`

type usage struct {
	Operation     string
	Input, Output int
	Status        int
	Error         string
}

func usageOf(t *testing.T, srv *server) []usage {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), s.python, "-c", readUsage, filepath.Join(srv.data, "outcrop.db")).Output()
	if err != nil {
		t.Fatal(commandError(err))
	}
	var list []usage
	if err := json.Unmarshal(out, &list); err != nil {
		t.Fatal(err)
	}
	return list
}

// TestCutStreamIsAccounted leaves a stream in the middle: what the model had read
// and made by then is on record.
func TestCutStreamIsAccounted(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	rt := newGoClients(srv).rt
	st := openStory(t.Context(), t, rt)
	for range 10 {
		if _, ok := <-st.Events(); !ok {
			t.Fatal(st.Err())
		}
	}
	_ = st.Close() // tells of the read that it cuts, sometimes
	var list []usage
	for begin := time.Now(); len(list) == 0; { // the record follows the end of the call
		if list = usageOf(t, srv); time.Since(begin) > 30*time.Second {
			t.Fatal("the call has no usage record")
		}
	}
	u := list[0]
	if u.Operation != "ConverseStream" || u.Input < 10 || u.Output < 12 || u.Output > 200 {
		t.Errorf("%+v, want the prompt and the 12 or more tokens that were read", u)
	}
	t.Logf("%+v", u)
}

// TestUnreadStreamBlocksNobody leaves a stream open without reading it: other
// calls go on meanwhile, and the stream is whole when it is read at last.
func TestUnreadStreamBlocksNobody(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: "engine: {slots: 2}"})
	in := &bedrockruntime.ConverseStreamInput{ModelId: aws.String(smollm), Messages: story(), InferenceConfig: maxTokens(150)}
	out, err := newGoClients(srv).rt.ConverseStream(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	unread := out.GetStream()
	defer unread.Close()
	rt := newGoClients(srv).rt
	for range 4 {
		begin := time.Now()
		if _, err := rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(5)}); err != nil {
			t.Fatal(err)
		}
		t.Logf("another call took %s", time.Since(begin).Round(time.Millisecond))
	}
	var last types.ConverseStreamOutput
	for ev := range unread.Events() {
		last = ev
	}
	if m, ok := last.(*types.ConverseStreamOutputMemberMetadata); !ok || *m.Value.Usage.OutputTokens != 150 || unread.Err() != nil {
		t.Errorf("the stream ended with %T, %v", last, unread.Err())
	}
}

// TestCancelBesideOthers cancels one stream while another runs, on a server with
// two slots: the next call begins at once, not after the other stream.
func TestCancelBesideOthers(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{config: "engine: {slots: 2, queue_deadline: 1s}"})
	other := openStory(t.Context(), t, newGoClients(srv).rt)
	defer other.Close()
	rt := newGoClients(srv).rt
	for range 3 {
		st := openStory(t.Context(), t, rt)
		begin := time.Now()
		_ = st.Close() // tells of the read that it cuts, sometimes
		next := openStory(t.Context(), t, newGoClients(srv).rt)
		t.Logf("from the cancel to the third event of the next stream: %s", time.Since(begin).Round(time.Millisecond))
		_ = next.Close()
	}
	for range 3 {
		if _, ok := <-other.Events(); !ok {
			t.Fatalf("the other stream ended: %v", other.Err())
		}
	}
}
