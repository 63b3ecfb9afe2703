package workload_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/outcrop/outcrop/internal/edge/workload"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
)

const (
	roleA = "arn:aws:iam::111122223333:role/team/app"
	roleB = "arn:aws:iam::111122223333:role/batch"
	roleC = "arn:aws:iam::444455556666:role/closed"

	tokenA = "token-of-app.0123456789"
	tokenB = "token-of-batch~0123456789"
)

// issuer makes credentials that name whom they are for.
type issuer struct {
	mu    sync.Mutex
	now   time.Time
	count int
}

func (i *issuer) clock() time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

func (i *issuer) pass(d time.Duration) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = i.now.Add(d)
}

// ForService implements workload.Issuer.
func (i *issuer) ForService(_ context.Context, role, name string, services ...string) (session.Credentials, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if role == roleC {
		return session.Credentials{}, errors.New("not trusted")
	}
	i.count++
	return session.Credentials{
		AccessKeyID: fmt.Sprintf("ASIA%d", i.count), Secret: secret.NewString("secret of " + name), Token: role + " for " + services[0],
		Expires: i.now.Add(time.Hour),
	}, nil
}

// world is the endpoint on a port of the loopback. uid is who every client runs as.
type world struct {
	*httptest.Server
	issuer *issuer
	log    *strings.Builder
	uid    uint32
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{issuer: &issuer{now: time.Date(2026, 7, 8, 9, 10, 11, 0, time.UTC)}, log: &strings.Builder{}, uid: 1000}
	h, err := workload.New(workload.Config{
		Workloads: []workload.Workload{
			{Name: "app", Role: roleA, Token: secret.NewString(tokenA)},
			{Name: "batch", Role: roleB, Token: secret.NewString(tokenB), UID: new(uint32(2000))},
			{Name: "desk", Role: roleB, UID: new(uint32(1000))},
			{Name: "other", Role: roleA, UID: new(uint32(1001))},
			{Name: "closed", Role: roleC, UID: new(uint32(1002))},
		},
		Issuer: w.issuer, Now: w.issuer.clock, Region: "eu-central-1", Log: slog.New(slog.NewTextHandler(w.log, nil)),
		UID: func(peer, here netip.AddrPort) (uint32, error) {
			if w.uid == 9999 {
				return 0, errors.New("unknown")
			}
			if !peer.Addr().IsLoopback() || !here.Addr().IsLoopback() {
				t.Errorf("asked for %s to %s", peer, here)
			}
			return w.uid, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.Server = httptest.NewServer(h)
	t.Cleanup(w.Close)
	return w
}

// ask sends a request and returns its status and body.
func (w *world) ask(t *testing.T, method, path string, headers ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, w.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			r.Host = headers[i+1]
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	a, err := w.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	if err != nil {
		t.Fatal(err)
	}
	if a.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s %s may be cached", method, path)
	}
	return a.StatusCode, strings.TrimSuffix(string(b), "\n")
}

func TestContainerCredentials(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	status, body := w.ask(t, "GET", "/credentials/app", "Authorization", tokenA)
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	want := map[string]string{
		"RoleArn": roleA, "AccessKeyId": "ASIA1", "SecretAccessKey": "secret of app",
		"Token": roleA + " for ecs-tasks.amazonaws.com", "Expiration": "2026-07-08T10:10:11Z",
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	for name, test := range map[string]struct {
		method, path, token string
		uid                 uint32
		status              int
	}{
		"again":                        {"GET", "/credentials/app", tokenA, 1000, 200},
		"no token":                     {"GET", "/credentials/app", "", 1000, 401},
		"another's token":              {"GET", "/credentials/app", tokenB, 1000, 401},
		"another's token, as its user": {"GET", "/credentials/app", tokenB, 2000, 401},
		"longer token":                 {"GET", "/credentials/app", tokenA + "x", 1000, 401},
		"nobody's name":                {"GET", "/credentials/nobody", tokenA, 1000, 401},
		"no name":                      {"GET", "/credentials/", tokenA, 1000, 401},
		"token, wrong user":            {"GET", "/credentials/batch", tokenB, 1000, 401},
		"token, right user":            {"GET", "/credentials/batch", tokenB, 2000, 200},
		"user, no token":               {"GET", "/credentials/batch", "", 2000, 401},
		"user alone":                   {"GET", "/credentials/desk", "", 1000, 200},
		"user alone, any token":        {"GET", "/credentials/desk", "anything", 1000, 200},
		"another user":                 {"GET", "/credentials/desk", "", 1001, 401},
		"user that nobody can tell":    {"GET", "/credentials/desk", "", 9999, 401},
		"role that does not trust":     {"GET", "/credentials/closed", "", 1002, 403},
		"POST":                         {"POST", "/credentials/app", tokenA, 1000, 405},
		"escaped":                      {"GET", "/credentials/%61pp%2f", tokenA, 1000, 404},
		"elsewhere":                    {"GET", "/", tokenA, 1000, 404},
	} {
		w.uid = test.uid
		if status, body := w.ask(t, test.method, test.path, "Authorization", test.token); status != test.status || status == 401 && body != "Unauthorized" {
			t.Errorf("%s: %d %s, want %d", name, status, body, test.status)
		}
	}
	w.uid = 1000
	w.Close()
	if text := w.log.String(); !strings.Contains(text, "workload=app") || strings.Contains(text, "secret of") || strings.Contains(text, tokenA) {
		t.Errorf("log:\n%s", text)
	}
}

// Credentials are handed out again until half of their life is over, so that no
// client ever gets some that are about to end.
func TestRotation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	key := func() string {
		_, body := w.ask(t, "GET", "/credentials/app", "Authorization", tokenA)
		var got map[string]string
		if err := json.Unmarshal([]byte(body), &got); err != nil {
			t.Fatal(err)
		}
		end, err := time.Parse(time.RFC3339, got["Expiration"])
		if err != nil || end.Sub(w.issuer.clock()) < 30*time.Minute {
			t.Errorf("credentials end %s, now it is %s: %v", got["Expiration"], w.issuer.clock(), err)
		}
		return got["AccessKeyId"]
	}
	first := key()
	w.issuer.pass(30*time.Minute - time.Second)
	if key() != first {
		t.Error("renewed too early")
	}
	w.issuer.pass(time.Second)
	second := key()
	if second == first {
		t.Error("not renewed")
	}
	var wg sync.WaitGroup
	w.issuer.pass(time.Hour)
	for range 8 {
		wg.Go(func() { key() })
	}
	wg.Wait()
	if w.issuer.count != 3 {
		t.Errorf("%d sessions were made for many askers", w.issuer.count)
	}
}

func TestInstanceMetadata(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const ttl, own = "X-aws-ec2-metadata-token-ttl-seconds", "X-aws-ec2-metadata-token"
	begin := func(prefix string) string {
		status, token := w.ask(t, "PUT", prefix+"/latest/api/token", ttl, "21600")
		if status != 200 || len(token) < 40 {
			t.Fatalf("%s: %d %s", prefix, status, token)
		}
		return token
	}
	// By user.
	token := begin("")
	for path, want := range map[string]string{
		"/latest/meta-data/iam/security-credentials/":        "batch",
		"/latest/meta-data/iam/security-credentials":         "batch",
		"/latest/meta-data/placement/region":                 "eu-central-1",
		"/latest/meta-data/placement/availability-zone/":     "eu-central-1a",
		"/latest/dynamic/instance-identity/document":         `{"accountId":"111122223333","availabilityZone":"eu-central-1a","region":"eu-central-1"}`,
		"/latest/meta-data/iam/security-credentials/another": "Not found",
		"/latest/user-data":                                  "Not found",
	} {
		if _, body := w.ask(t, "GET", path, own, token); body != want {
			t.Errorf("%s: %s, want %s", path, body, want)
		}
	}
	status, body := w.ask(t, "GET", "/latest/meta-data/iam/security-credentials/batch", own, token)
	var got map[string]string
	if err := json.Unmarshal([]byte(body), &got); err != nil || status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	for k, v := range map[string]string{
		"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": "2026-07-08T09:10:11Z", "AccessKeyId": "ASIA1", "SecretAccessKey": "secret of desk",
		"Token": roleB + " for ec2.amazonaws.com", "Expiration": "2026-07-08T10:10:11Z",
	} {
		if got[k] != v {
			t.Errorf("%s is %q, want %q", k, got[k], v)
		}
	}
	// By a path that nobody can guess.
	secured := "/metadata/" + tokenA
	inPath := begin(secured)
	if _, body := w.ask(t, "GET", secured+"/latest/meta-data/iam/security-credentials/app", own, inPath); !strings.Contains(body, "secret of app") {
		t.Errorf("by path: %s", body)
	}
	const creds = "/latest/meta-data/iam/security-credentials/batch"
	for name, test := range map[string]struct {
		method, path, token string
		uid                 uint32
		status              int
	}{
		"version 1":                {"GET", creds, "", 1000, 401},
		"token of nobody":          {"GET", creds, strings.Repeat("A", 76), 1000, 401},
		"changed token":            {"GET", creds, "B" + token[1:], 1000, 401},
		"token of another":         {"GET", creds, inPath, 1000, 401},
		"another user":             {"GET", creds, token, 1001, 401},
		"nobody's user":            {"GET", creds, token, 3000, 401},
		"token in the path, wrong": {"GET", "/metadata/" + tokenA + "x" + creds, inPath, 1000, 401},
		"no token in the path":     {"GET", "/metadata//latest/meta-data/placement/region", token, 1001, 401},
		"token by GET":             {"GET", "/latest/api/token", token, 1000, 405},
		"credentials by PUT":       {"PUT", creds, token, 1000, 405},
		"role that does not trust": {"PUT", "/latest/api/token", "", 1002, 400},
	} {
		w.uid = test.uid
		if status, body := w.ask(t, test.method, test.path, own, test.token); status != test.status {
			t.Errorf("%s: %d %s, want %d", name, status, body, test.status)
		}
	}
	w.uid = 1000
	for _, bad := range []string{"", "0", "-1", "21601", "x", "1e3"} {
		if status, _ := w.ask(t, "PUT", "/latest/api/token", ttl, bad); status != 400 {
			t.Errorf("a token for %q seconds: %d", bad, status)
		}
	}
	_, short := w.ask(t, "PUT", "/latest/api/token", ttl, "1")
	w.issuer.pass(time.Second)
	if status, _ := w.ask(t, "GET", "/latest/meta-data/placement/region", own, short); status != 401 {
		t.Errorf("a token is good for longer than it was asked for: %d", status)
	}
}

// What did not come straight from a program of this machine gets nothing, even
// with the right token.
func TestOnlyFromThisMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := w.URL[strings.LastIndex(w.URL, ":"):]
	for _, test := range []struct {
		header, value string
		status        int
	}{
		{"X-Forwarded-For", "10.0.0.1", 403},
		{"X-Forwarded-For", "", 403},
		{"Forwarded", "for=10.0.0.1", 403},
		{"Via", "1.1 proxy", 403},
		{"Origin", "http://evil.example.com", 403},
		{"Referer", "http://evil.example.com/x", 403},
		{"Sec-Fetch-Mode", "no-cors", 403},
		{"Host", "evil.example.com" + port, 403},
		{"Host", "127.0.0.1.evil.example.com" + port, 403},
		{"Host", "127.0.0.1", 403},
		{"Host", "127.0.0.1:1", 403},
		{"Host", "10.0.0.1" + port, 403},
		{"Host", "[::1]" + port, 200},
		{"Host", "localhost" + port, 200},
		{"Host", "LOCALHOST.evil" + port, 403},
		{"User-Agent", "Boto3/1.43", 200},
	} {
		if status, body := w.ask(t, "GET", "/credentials/app", "Authorization", tokenA, test.header, test.value); status != test.status {
			t.Errorf("%s: %s gives %d %s, want %d", test.header, test.value, status, body, test.status)
		}
	}
	for _, remote := range []string{"10.0.0.1:1234", "@", ""} {
		r := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8687/credentials/app", nil)
		r.RemoteAddr = remote
		r.Header.Set("Authorization", tokenA)
		rec := httptest.NewRecorder()
		w.Config.Handler.ServeHTTP(rec, r)
		if rec.Code != http.StatusForbidden {
			t.Errorf("from %q: %d", remote, rec.Code)
		}
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	uid := new(uint32(7))
	token := secret.NewString(tokenA)
	for name, all := range map[string][]workload.Workload{
		"no proof":          {{Name: "app", Role: roleA}},
		"short token":       {{Name: "app", Role: roleA, Token: secret.NewString("0123456789abcde")}},
		"long token":        {{Name: "app", Role: roleA, Token: secret.NewString(strings.Repeat("x", 1025))}},
		"token with a dash": {{Name: "app", Role: roleA, Token: secret.NewString("0123456789abcdef/x")}},
		"token with a line": {{Name: "app", Role: roleA, Token: secret.NewString("0123456789abcdef\n")}},
		"no name":           {{Role: roleA, Token: token}},
		"name with a slash": {{Name: "a/b", Role: roleA, Token: token}},
		"no role":           {{Name: "app", Token: token}},
		"user for a role":   {{Name: "app", Role: "arn:aws:iam::111122223333:user/app", Token: token}},
		"same name":         {{Name: "app", Role: roleA, Token: token}, {Name: "app", Role: roleB, UID: uid}},
		"same token":        {{Name: "app", Role: roleA, Token: token}, {Name: "two", Role: roleB, Token: token}},
		"same user":         {{Name: "app", Role: roleA, UID: uid}, {Name: "two", Role: roleB, UID: uid}},
	} {
		if _, err := workload.New(workload.Config{Workloads: all, Issuer: &issuer{}}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "0123456789") {
			t.Errorf("%s: the error shows the token: %v", name, err)
		}
	}
}
