package apptest_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// hostile makes inputs of operations: of the right shape for most, with texts that
// name what is there, what is not, and what is not meant to be a name.
type hostile struct {
	*rand.Rand
	svc   *awsapi.Service
	words []string
}

func (h *hostile) pick(all []string) string { return all[h.IntN(len(all))] }

// value is a random value of a shape, as package json has it; nil now and then.
func (h *hostile) value(id awsapi.ShapeID, depth int) any {
	s := h.svc.Shape(id)
	if depth > 6 {
		return nil
	}
	if h.IntN(60) == 0 { // another type than the shape's
		return []any{nil, "x", 1.5, true, []any{}, map[string]any{}}[h.IntN(6)]
	}
	switch s.Kind {
	case awsapi.Structure, awsapi.Union:
		out := map[string]any{}
		for i := range s.Members {
			m := &s.Members[i]
			if s.Kind == awsapi.Union && h.IntN(max(1, len(s.Members))) != 0 {
				continue
			}
			if m.Required && h.IntN(12) != 0 || !m.Required && h.IntN(3) == 0 {
				out[m.Key()] = h.value(m.Shape, depth+1)
			}
		}
		return out
	case awsapi.List:
		out := []any{}
		for range h.IntN(4) {
			out = append(out, h.value(s.Elem, depth+1))
		}
		return out
	case awsapi.Map:
		out := map[string]any{}
		for range h.IntN(3) {
			out[h.word()] = h.value(s.Elem, depth+1)
		}
		return out
	case awsapi.Integer, awsapi.Long:
		return []int64{0, 1, -1, 3600, 100, 1 << 31, -1 << 62, int64(s.Min), int64(s.Max)}[h.IntN(9)]
	case awsapi.Float, awsapi.Double:
		return []float64{0, 1, -1, 1e300, 0.5}[h.IntN(5)]
	case awsapi.Boolean:
		return h.IntN(2) == 0
	case awsapi.Blob:
		return base64.StdEncoding.EncodeToString([]byte(h.word()))
	case awsapi.Timestamp:
		return []any{0, 1.5e9, "2026-01-02T03:04:05Z", -1e18, "x"}[h.IntN(5)]
	case awsapi.JSON:
		return map[string]any{h.word(): []any{h.word(), nil, 1}}
	}
	if len(s.Enum) > 0 && h.IntN(4) != 0 {
		return h.pick(s.Enum)
	}
	return h.word()
}

func (h *hostile) word() string {
	if h.IntN(40) == 0 {
		return strings.Repeat(h.pick(h.words), 50)
	}
	return h.pick(h.words)
}

// text is a value as it stands in a path, a query or a header.
func text(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, _ := json.Marshal(v)
	return string(b)
}

// form writes a value as parameters of the query protocol.
func form(out url.Values, name string, v any) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			form(out, strings.TrimPrefix(name+"."+k, "."), e)
		}
	case []any:
		for i, e := range v {
			form(out, name+".member."+strconv.Itoa(i+1), e)
		}
	case nil:
	default:
		out.Set(name, text(v))
	}
}

// request makes one request of an operation.
func (h *hostile) request(t *testing.T, endpoint string, op *awsapi.Operation) (*http.Request, []byte) {
	t.Helper()
	in, _ := h.value(op.Input, 0).(map[string]any)
	method, target, header, body := http.MethodPost, endpoint+"/", http.Header{}, []byte(nil)
	switch h.svc.Protocol {
	case "query":
		v := url.Values{}
		form(v, "", in)
		v.Set("Action", op.Name)
		v.Set("Version", h.svc.APIVersion)
		body = []byte(v.Encode())
		header.Set("Content-Type", "application/x-www-form-urlencoded")
	case "json":
		body, _ = json.Marshal(in)
		header.Set("Content-Type", "application/x-amz-json-"+h.svc.JSONVersion)
		header.Set("X-Amz-Target", h.svc.TargetPrefix+"."+op.Name)
	default:
		method = op.Method
		path, fixed, _ := strings.Cut(op.URI, "?")
		query, _ := url.ParseQuery(fixed)
		rest := map[string]any{}
		var payload any
		members := h.svc.Shape(op.Input).Members
		for i := range members {
			m := &members[i]
			v, there := in[m.Key()]
			switch m.Location {
			case awsapi.InURI:
				value := url.PathEscape(text(v))
				if value == "" || h.svc.Shape(m.Shape).Kind == awsapi.Blob {
					value = "x"
				}
				path = strings.NewReplacer("{"+m.Key()+"}", value, "{"+m.Key()+"+}", value).Replace(path)
			case awsapi.InQuery:
				if there {
					query.Set(m.Key(), text(v))
				}
			case awsapi.InHeader:
				if there {
					header.Set(m.Key(), strings.Map(func(r rune) rune {
						if r < ' ' || r > '~' {
							return -1
						}
						return r
					}, text(v)))
				}
			case awsapi.InPayload:
				payload = v
			case awsapi.InBody:
				if there {
					rest[m.Key()] = v
				}
			}
		}
		target = endpoint + path
		if len(query) > 0 {
			target += "?" + query.Encode()
		}
		if payload != nil {
			body = []byte(text(payload))
		} else if method != http.MethodGet && method != http.MethodDelete {
			body, _ = json.Marshal(rest)
		}
		if header.Get("Content-Type") == "" {
			header.Set("Content-Type", "application/json")
		}
	}
	r, err := http.NewRequestWithContext(t.Context(), method, target, bytes.NewReader(body))
	if err != nil {
		return nil, nil // no request could look like that
	}
	r.Header = header
	return r, body
}

// lines keeps what a server logs.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) of(id string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.b.String()) {
		if id != "" && strings.Contains(line, id) {
			return line
		}
	}
	return ""
}

// TestHostileInputs sends random inputs to every bound operation as an
// administrator, as a user without rights, and as the administrator of another
// account. Nothing is an internal error, and who has no rights gets nothing.
// OUTCROP_HOSTILE sets how many requests are sent.
func TestHostileInputs(t *testing.T) {
	t.Parallel()
	const pinned = 10_000
	n, err := strconv.Atoi(os.Getenv("OUTCROP_HOSTILE"))
	if err != nil {
		n = pinned
	}
	log := new(lines)
	srv := apptest.Start(t, apptest.Log(slog.New(slog.NewTextHandler(log, nil))))
	seed := uint64(n)
	if n > pinned {
		seed = uint64(time.Now().UnixNano())
	}
	h := &hostile{Rand: rand.New(rand.NewPCG(seed, 1))}
	users := []aws.Credentials{hostileUser(t, srv, "admin", true), hostileUser(t, srv, "eve", false), hostileUser(t, srv, "other", true)}
	a := srv.Account
	h.words = []string{
		"", "*", "?", "a", "admin", "eve", "EVE", "Admin", "team", "aws:team", "${aws:username}", "x/../y", "/", "//", "/team/", "\x00", "é", "\U0001F600", "a b", "<&>", "%2F",
		"arn:aws:iam::" + a + ":user/admin", "arn:aws:iam::" + a + ":user/*", "arn:aws:iam::" + a + ":role/*", "arn:aws:iam::" + a + ":root", "arn:aws:iam::222233334444:user/other",
		"arn:aws:iam::aws:policy/AdministratorAccess", "arn:aws:iam::" + a + ":policy/a", "arn:aws:iam::" + a + ":mfa/a", "arn:aws:iam::" + a + ":instance-profile/a",
		"arn:aws:iam::" + a + ":oidc-provider/a.example.com", "https://a.example.com", "arn:", "arn:::::", "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-v2",
		"arn:aws:bedrock:us-east-1:" + a + ":application-inference-profile/abcdefghij12", "anthropic.claude-v2", "anthropic.claude-v2:1", a, "222233334444", "r-abcd", "ou-abcd-abcdefgh", "p-abcdefgh", "p-FullAWSAccess",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`,
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"` + a + `"},"Action":"sts:AssumeRole"}]}`,
		`{"Version":"2012-10-17","Statement":{"Effect":"Deny","NotAction":"iam:*","NotResource":["${aws:PrincipalTag/x, 'y'}"],"Condition":{"ForAllValues:StringLike":{"aws:TagKeys":["*"]}}}}`,
		`{"Statement":[`, `[[[[`, "null", "{}", "iam:CreateUser", "bedrock:InvokeModel", "req-abcdefghij", "AKIAAAAAAAAAAAAAAAAA", users[0].AccessKeyID, "000000", "123456", "v1", "v2", "bedrock.amazonaws.com",
		"2026-01-01T00:00:00Z", "bm8=", `{"a":`, `{"prompt":"x","max_tokens_to_sample":5}`, "automatic", "1", "-1", "99999999999999999999",
	}
	type target struct {
		svc *awsapi.Service
		op  *awsapi.Operation
	}
	var targets []target
	for _, svc := range app.Services() {
		for i := range svc.Operations {
			if op := &svc.Operations[i]; op.Name != "InvokeModelWithBidirectionalStream" {
				targets = append(targets, target{svc, op})
			}
		}
	}
	codes, unbound := map[int]int{}, map[*awsapi.Operation]bool{}
	for i := range n {
		at := targets[i%len(targets)]
		if unbound[at.op] {
			continue
		}
		who := h.IntN(len(users))
		h.svc = at.svc
		r, body := h.request(t, srv.Endpoint, at.op)
		if r == nil {
			continue
		}
		sum := sha256.Sum256(body)
		if err := v4.NewSigner().SignHTTP(t.Context(), users[who], r, hex.EncodeToString(sum[:]), at.svc.SigningName, "us-east-1", time.Now()); err != nil {
			t.Fatal(err)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s %s: %v", at.svc.Name, at.op.Name, err)
		}
		said, _ := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // read to its end
		codes[resp.StatusCode]++
		unbound[at.op] = resp.StatusCode == http.StatusNotImplemented
		name := fmt.Sprintf("%s %s as user %d: %d %s\n%s %s %s", at.svc.Name, at.op.Name, who, resp.StatusCode, said, r.Method, r.URL.RequestURI(), body)
		switch {
		case resp.StatusCode >= 500 && resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusServiceUnavailable:
			t.Errorf("%s\n%s", name, log.of(resp.Header.Get("x-amzn-RequestId")))
		case who == 1 && resp.StatusCode < 300 && at.op.Name != "GetCallerIdentity" && at.op.Name != "GetSessionToken":
			t.Errorf("without any right: %s", name)
		}
	}
	t.Logf("%d requests: %v", n, codes)
}

// hostileUser makes a user with a key; "other" is one of another account.
func hostileUser(t *testing.T, srv *apptest.Server, name string, all bool) aws.Credentials {
	t.Helper()
	root := srv.Key
	if name == "other" {
		root = srv.NewKey(t, "222233334444", "")
	}
	c := iam.NewFromConfig(srv.AWS(root))
	if _, err := c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: &name}); err != nil {
		t.Fatal(err)
	}
	if all {
		if _, err := c.PutUserPolicy(t.Context(), &iam.PutUserPolicyInput{UserName: &name, PolicyName: aws.String("all"), PolicyDocument: aws.String(
			`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"},{"Effect":"Deny","Action":["iam:*User*","iam:*AccessKey*"],"Resource":"arn:aws:iam::*:user/` + name + `"}]}`)}); err != nil {
			t.Fatal(err)
		}
	}
	k, err := c.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: &name})
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{AccessKeyID: *k.AccessKey.AccessKeyId, SecretAccessKey: *k.AccessKey.SecretAccessKey}
}
