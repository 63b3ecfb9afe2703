package gateway_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/network"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	rt "github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
)

// judge is an Authorizer that a test can turn.
type judge struct {
	mu      sync.Mutex
	refuse  bool
	silent  bool // makes no decision
	saw     []call.Call
	changed chan struct{}
}

func newJudge() *judge { return &judge{changed: make(chan struct{})} }

func (j *judge) Authorize(_ context.Context, c *call.Call, n call.Need) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.saw = append(j.saw, *c)
	switch {
	case j.silent:
		return nil
	case j.refuse:
		c.Decision = call.Decision{Made: true}
		return apierr.AccessDenied("User: %s is not authorized to perform: %s", c.Principal.ARN, n.Action)
	}
	c.Decision = call.Decision{Made: true, Allowed: true}
	return nil
}

// turn makes the judge refuse, and says that something changed.
func (j *judge) turn() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.refuse = true
	close(j.changed)
	j.changed = make(chan struct{})
}

func (j *judge) change() <-chan struct{} {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.changed
}

func (j *judge) rule(c *gateway.Config) { c.Access, c.Changed = j, j.change }

// A call that nobody decided over is never answered with success.
func TestUndecided(t *testing.T) {
	t.Parallel()
	j := newJudge()
	j.silent = true
	f := start(t, j.rule)
	if a := f.post(t, "POST", "/model/m/converse", converseBody); a.status != 500 || a.code != apierr.CodeInternal || f.handled() != 0 {
		t.Errorf("%d %s, %d handled", a.status, a.code, f.handled())
	}
}

// What the caller may do no more ends the stream that it does it on.
func TestStreamEndsWithItsRights(t *testing.T) {
	t.Parallel()
	j := newJudge()
	f := start(t, j.rule)
	f.streams(func(ctx context.Context, yield func(any, error) bool) {
		if yield(text("a"), nil) {
			j.turn()
			<-ctx.Done()
			yield(nil, ctx.Err())
		}
	})
	f.watch(t)
	s := f.listen(t)
	got := lastFrame(t, f.open(t, s.Client(), s.URL))
	if got.kind != "exception" || got.name != "validationException" || !strings.Contains(got.message, "taken away") || !strings.Contains(got.message, "bedrock:InvokeModelWithResponseStream") {
		t.Errorf("the stream ends with %+v", got)
	}
}

// A key that is disabled ends what it has open, without any word of a change.
func TestStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"SigV4", "bearer"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			f := start(t)
			id := f.key.ID
			if kind == "bearer" {
				id = f.bearer.ID
			}
			f.streams(func(ctx context.Context, yield func(any, error) bool) {
				if yield(text("a"), nil) {
					if err := f.keys.Disable(ctx, id); err != nil {
						t.Error(err)
					}
					<-ctx.Done()
					yield(nil, ctx.Err())
				}
			})
			f.watch(t)
			s := f.listen(t)
			r := f.sign(t, http.MethodPost, s.URL+streamPath, []byte(converseBody))
			if kind == "bearer" {
				r.Header = http.Header{"Content-Type": r.Header["Content-Type"], "Authorization": {"Bearer " + string(f.bearer.Secret.Reveal())}}
			}
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := lastFrame(t, resp); got.name != "validationException" || !strings.Contains(got.message, "taken away") {
				t.Errorf("the stream ends with %+v", got)
			}
		})
	}
}

// A call that has not answered yet gets the refusal itself.
func TestCallEndsWithItsRights(t *testing.T) {
	t.Parallel()
	j := newJudge()
	f := start(t, j.rule)
	f.converse = func(ctx context.Context, _ *call.Call, _ *rt.ConverseInput) (*rt.ConverseOutput, error) {
		j.turn()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	f.watch(t)
	s := f.listen(t)
	a := do(t, s.Client(), f.sign(t, http.MethodPost, s.URL+"/model/m/converse", []byte(converseBody)))
	if a.status != 403 || a.code != apierr.CodeAccessDenied {
		t.Errorf("%d %s %s", a.status, a.code, a.message)
	}
}

// The call carries where it came from, and a name that is not the listener's is
// refused with any credentials.
func TestSource(t *testing.T) {
	t.Parallel()
	j := newJudge()
	f := start(t, j.rule)
	src := network.Source{
		Listener: "private", IP: netip.MustParseAddr("10.1.2.3"), TLS: true, VPCE: "vpce-1", VPC: "vpc-1",
		Hosts: []string{"localhost"}, EndpointPolicy: []byte(`{}`),
	}
	send := func(url string, bearer bool) answer {
		r, _ := received(f.sign(t, "POST", url+"/model/m/converse", []byte(converseBody)), []byte(converseBody))
		if bearer {
			r.Header.Set("Authorization", "Bearer "+string(f.bearer.Secret.Reveal()))
		}
		r.Header.Set("User-Agent", "agent/1")
		w := httptest.NewRecorder()
		f.handler.ServeHTTP(w, r.WithContext(network.WithSource(r.Context(), src)))
		return read(t, w.Result())
	}
	if a := send("http://localhost", false); a.status != 200 {
		t.Fatalf("%d %s", a.status, a.message)
	}
	got := j.saw[0].Source
	want := call.Source{Listener: "private", IP: src.IP, TLS: true, VPCE: "vpce-1", VPC: "vpc-1", UserAgent: "agent/1", EndpointPolicy: src.EndpointPolicy}
	if got.Listener != want.Listener || got.IP != want.IP || !got.TLS || got.VPCE != want.VPCE || got.VPC != want.VPC || got.UserAgent != want.UserAgent || string(got.EndpointPolicy) != "{}" {
		t.Errorf("source %+v, want %+v", got, want)
	}
	for _, bearer := range []bool{false, true} {
		if a := send("http://elsewhere.example", bearer); a.status != 403 || a.code != apierr.CodeInvalidSignature {
			t.Errorf("another host, bearer %t: %d %s", bearer, a.status, a.code)
		}
	}
	if a := send("http://localhost", true); a.status != 200 {
		t.Errorf("bearer over the listener's TLS: %d %s", a.status, a.message)
	}
	src.TLS = false
	if a := send("http://localhost", true); a.status != 403 {
		t.Errorf("bearer over a listener without TLS: %d", a.status)
	}
}
