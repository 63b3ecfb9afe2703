package apptest_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

var leakCalls = flag.Int("leak-calls", 4000, "how many calls TestNoAccountSeesAnother makes; the acceptance run makes 100000")

// tenant is an account with a word of its own in everything that it makes.
type tenant struct {
	account string
	canary  string
	key     sigv4.Credentials

	mu   sync.Mutex
	seen []string // texts of answers that may name something of the account
	// knows counts the calls, running or accepted, by which the account itself has
	// brought a canary of another one along: it may come back.
	knows map[string]int
}

// remember keeps what an answer names, so that later calls, also of others, ask
// for it.
func (t *tenant) remember(texts []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.seen = append(t.seen, texts...)
	if n := len(t.seen); n > 400 {
		t.seen = slices.Delete(t.seen, 0, n-400)
	}
}

func (t *tenant) learn(canary string, calls int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.knows[canary] += calls; t.knows[canary] == 0 {
		delete(t.knows, canary)
	}
}

func (t *tenant) learned(canary string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.knows[canary] > 0
}

func (t *tenant) any(r *rand.Rand) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.seen) == 0 {
		return t.canary
	}
	return t.seen[r.IntN(len(t.seen))]
}

// maker makes inputs of operations from their tables: values of the caller, and
// as often names and ids of somebody else.
type maker struct {
	r     *rand.Rand
	me    *tenant
	other *tenant
	svc   *awsapi.Service
	op    *awsapi.Operation
}

// foreign is a text that names something of another account. Where an operation
// may keep it as a name of the caller's own, it is an ARN or an id.
func (m *maker) foreign() string {
	v := m.other.any(m.r)
	if lookup.MatchString(m.op.Name) || strings.HasPrefix(v, "arn:") || ids.MatchString(v) {
		return v
	}
	return m.me.any(m.r)
}

var (
	lookup = regexp.MustCompile(`^(Get|List|Describe|Delete|Detach|Remove|Untag|Simulate|Count|Assume|Reject|Approve|End|Disable|Deactivate|Resync|Reset)`)
	ids    = regexp.MustCompile(`^(A[A-Z]{3}[A-Z2-7]{16,17}|req-[a-z0-9]{20})$`)
)

func (m *maker) text(name string, s *awsapi.Shape) string {
	lower := strings.ToLower(name)
	switch {
	case len(s.Enum) > 0:
		return s.Enum[m.r.IntN(len(s.Enum))]
	case strings.Contains(lower, "policydocument") || lower == "policy" || lower == "resourcepolicy" || lower == "content":
		principal := ""
		if lower == "assumerolepolicydocument" || lower == "resourcepolicy" {
			principal = `"Principal":{"AWS":"` + m.me.account + `"},`
		}
		return `{"Version":"2012-10-17","Statement":[{"Sid":"` + m.me.canary + `","Effect":"Allow",` + principal + `"Action":"sts:AssumeRole","Resource":"*"}]}`
	case lower == "path":
		return "/" + m.me.canary + "/"
	case lower == "modelid" || lower == "modelidentifier":
		if m.r.IntN(2) == 0 {
			return "amazon.nova-lite-v1:0"
		}
	case lower == "copyfrom":
		return "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"
	}
	switch m.r.IntN(5) {
	case 0, 1: // something of one's own that exists
		return m.me.any(m.r)
	case 2, 3: // something of somebody else's
		if lower != "key" && lower != "value" && lower != "description" {
			return m.foreign()
		}
	}
	return m.me.canary + hex.EncodeToString([]byte{byte(m.r.IntN(4))})
}

// value is a JSON value of a shape; nil where the call goes without.
func (m *maker) value(name string, id awsapi.ShapeID, depth int) any {
	s := m.svc.Shape(id)
	switch s.Kind {
	case awsapi.Structure, awsapi.Union:
		if depth > 3 {
			return nil
		}
		out := map[string]any{}
		for i := range s.Members {
			mem := &s.Members[i]
			if s.Kind == awsapi.Union && len(out) > 0 {
				break
			}
			if mem.Location != awsapi.InBody || !mem.Required && m.r.IntN(3) > 0 && s.Kind != awsapi.Union {
				continue
			}
			if v := m.value(mem.Name, mem.Shape, depth+1); v != nil {
				out[mem.Key()] = v
			}
		}
		return out
	case awsapi.List:
		if v := m.value(name, s.Elem, depth+1); v != nil {
			return []any{v}
		}
		return nil
	case awsapi.Map:
		return map[string]any{m.me.canary: m.value(name, s.Elem, depth+1)}
	case awsapi.String:
		return m.text(name, s)
	case awsapi.Integer, awsapi.Long:
		if s.HasMin {
			return int64(s.Min) + int64(m.r.IntN(2))
		}
		return 1 + m.r.IntN(100)
	case awsapi.Float, awsapi.Double:
		return 0.5
	case awsapi.Boolean:
		return m.r.IntN(2) == 0
	case awsapi.Blob:
		return base64.StdEncoding.EncodeToString([]byte(`{"inputText":"` + m.me.canary + `","messages":[{"role":"user","content":[{"text":"` + m.me.canary + `"}]}]}`))
	case awsapi.Timestamp:
		return 1.7e9
	case awsapi.JSON:
		return map[string]any{"canary": m.me.canary}
	}
	return nil
}

// request makes a signed request for an operation.
func (m *maker) request(t *testing.T, endpoint string, op *awsapi.Operation) (*http.Request, []byte) {
	t.Helper()
	in := m.svc.Shape(op.Input)
	path, query, kind := op.URI, url.Values{}, "application/json"
	var body []byte
	switch m.svc.Protocol {
	case "query":
		form := url.Values{"Action": {op.Name}, "Version": {m.svc.APIVersion}}
		flatten(form, "", m.value("", op.Input, 0))
		body, kind = []byte(form.Encode()), "application/x-www-form-urlencoded"
	default:
		v := m.value("", op.Input, 0)
		for i := range in.Members {
			mem := &in.Members[i]
			switch mem.Location {
			case awsapi.InURI:
				text := fmt.Sprint(m.value(mem.Name, mem.Shape, 0))
				path = strings.NewReplacer("{"+mem.Key()+"}", url.PathEscape(text), "{"+mem.Key()+"+}", url.PathEscape(text)).Replace(path)
			case awsapi.InQuery:
				if mem.Required || m.r.IntN(3) == 0 {
					query.Set(mem.Key(), fmt.Sprint(m.value(mem.Name, mem.Shape, 0)))
				}
			case awsapi.InPayload:
				if raw, err := base64.StdEncoding.DecodeString(fmt.Sprint(m.value(mem.Name, mem.Shape, 0))); err == nil {
					body = raw
				}
			}
		}
		if body == nil && (op.Method != http.MethodGet || m.svc.Protocol == "json") {
			var err error
			if body, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		if m.svc.Protocol == "json" {
			kind = "application/x-amz-json-" + m.svc.JSONVersion
		}
	}
	target := endpoint + path
	if len(query) > 0 {
		sep := "?"
		if strings.Contains(path, "?") {
			sep = "&"
		}
		target += sep + query.Encode()
	}
	r, err := http.NewRequestWithContext(t.Context(), op.Method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil // a name that no path can hold
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", kind)
	}
	if m.svc.Protocol == "json" {
		r.Header.Set("X-Amz-Target", m.svc.TargetPrefix+"."+op.Name)
	}
	if err := sigv4.Sign(r, body, m.me.key, "us-east-1", m.svc.SigningName, time.Now()); err != nil {
		return nil, nil
	}
	return r, body
}

// flatten writes a value as parameters of the query protocol.
func flatten(form url.Values, name string, v any) {
	at := func(part string) string {
		if name == "" {
			return part
		}
		return name + "." + part
	}
	switch v := v.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			flatten(form, at(k), v[k])
		}
	case []any:
		for i, e := range v {
			flatten(form, fmt.Sprintf("%s.member.%d", name, i+1), e)
		}
	case nil:
	default:
		form.Set(name, fmt.Sprint(v))
	}
}

// organize calls an operation of Organizations as the management account's root.
func organize(t *testing.T, srv *apptest.Server, operation, body string, out any) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, srv.Endpoint+"/", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-amz-json-1.1")
	r.Header.Set("X-Amz-Target", "AWSOrganizationsV20161128."+operation)
	if err := sigv4.Sign(r, []byte(body), sigv4.Credentials{AccessKeyID: srv.Key.ID, Secret: srv.Key.Secret}, "us-east-1", "organizations", time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", operation, resp.Status, b, err)
	}
	if err := json.Unmarshal(b, out); err != nil {
		t.Fatalf("%s: %s: %v", operation, b, err)
	}
}

// plainToo adds what text says once its escapes are undone: policy documents are
// escaped.
func plainToo(text string) string {
	if plain, err := url.QueryUnescape(text); err == nil {
		return text + plain
	}
	return text
}

// names finds what of an answer may name a thing.
var names = regexp.MustCompile(`arn:aws:[\w:/+=,.@-]+|A[A-Z]{3}[A-Z2-7]{16,17}|req-[a-z0-9]{20}|[\w+=,.@-]*canary[0-9a-f]{16}[\w+=,.@-]*`)

// skipped are operations whose calls would end the test rather than show a leak:
// an account closes itself, a root takes its own key away.
func skipped(s *awsapi.Service, op *awsapi.Operation) bool {
	switch s.Name + ":" + op.Name {
	case "bedrock-runtime:InvokeModelWithBidirectionalStream", "iam:DeleteAccessKey", "iam:UpdateAccessKey", "organizations:CloseAccount":
		return true
	}
	return false
}

// TestNoAccountSeesAnother lets 20 accounts call every bound operation of every
// API, again and again and all at once, with their own names and with names and
// ids of the others. Whatever an account makes carries its canary; no answer to
// another account may hold that, unless the request brought it along.
func TestNoAccountSeesAnother(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	organize(t, srv, "CreateOrganization", `{}`, &struct{}{})
	tenants := make([]*tenant, 20)
	for i := range tenants {
		var made struct{ CreateAccountStatus struct{ AccountID string } }
		organize(t, srv, "CreateAccount", fmt.Sprintf(`{"AccountName":"tenant-%d","Email":"t%d@example.com"}`, i, i), &made)
		k := srv.NewKey(t, made.CreateAccountStatus.AccountID, keys.SigV4)
		tenants[i] = &tenant{account: k.Account, canary: fmt.Sprintf("canary%016x", 0xabcdef0123450000+uint64(i)*7919), key: sigv4.Credentials{AccessKeyID: k.ID, Secret: k.Secret}, knows: map[string]int{}}
	}
	type target struct {
		svc *awsapi.Service
		op  *awsapi.Operation
	}
	var targets []target
	for _, s := range app.Services() {
		for i := range s.Operations {
			if op := &s.Operations[i]; !skipped(s, op) && isBound(t, srv, s, op) {
				targets = append(targets, target{s, op})
			}
		}
	}
	var next, answered, leaks atomic.Int64
	var wg sync.WaitGroup
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 16}}
	for w := range 8 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(w), 1))
			for next.Add(1) <= int64(*leakCalls) && leaks.Load() < 5 {
				tg := targets[r.IntN(len(targets))]
				m := &maker{r: r, me: tenants[r.IntN(len(tenants))], other: tenants[r.IntN(len(tenants))], svc: tg.svc, op: tg.op}
				req, body := m.request(t, srv.Endpoint, tg.op)
				if req == nil {
					continue
				}
				sent := plainToo(req.URL.String() + string(body))
				var brought []string
				for _, o := range tenants {
					if o != m.me && strings.Contains(sent, o.canary) {
						brought = append(brought, o.canary)
						m.me.learn(o.canary, 1)
					}
				}
				resp, err := client.Do(req)
				if err != nil {
					t.Errorf("%s %s: %v", tg.svc.Name, tg.op.Name, err)
					return
				}
				b, err := io.ReadAll(io.LimitReader(resp.Body, 4<<20))
				_ = resp.Body.Close()
				if err != nil {
					t.Errorf("%s %s: %v", tg.svc.Name, tg.op.Name, err)
					return
				}
				if resp.StatusCode >= 500 && resp.StatusCode != 503 {
					t.Errorf("%s %s: %s %s", tg.svc.Name, tg.op.Name, resp.Status, b)
				}
				if resp.StatusCode < 400 {
					answered.Add(1)
				}
				said := plainToo(string(b) + fmt.Sprint(resp.Header))
				for _, o := range tenants {
					if o != m.me && strings.Contains(said, o.canary) && !m.me.learned(o.canary) {
						leaks.Add(1)
						t.Errorf("%s %s: account %s sees %s of account %s: %s", tg.svc.Name, tg.op.Name, m.me.account, o.canary, o.account, b)
					}
				}
				for _, canary := range brought {
					if resp.StatusCode >= 400 || lookup.MatchString(tg.op.Name) { // it was not kept
						m.me.learn(canary, -1)
					}
				}
				m.me.remember(names.FindAllString(string(b), 20))
			}
		})
	}
	wg.Wait()
	known := 0
	for _, o := range tenants {
		known += len(o.knows)
	}
	if known > len(tenants)*len(tenants)/4 {
		t.Errorf("%d pairs of accounts share a canary by their own doing: the test shows too little", known)
	}
	t.Logf("%d pairs share a canary; %d calls of %d operations, %d of them successful, %d canaries of others", known, *leakCalls, len(targets), answered.Load(), leaks.Load())
	if answered.Load() < int64(*leakCalls)/20 {
		t.Errorf("only %d of %d calls were answered: the test shows too little", answered.Load(), *leakCalls)
	}
}
