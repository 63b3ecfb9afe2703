package session_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = t
}

func newService(t testing.TB) (*session.Service, *clock) {
	t.Helper()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: start}
	s, err := session.New(session.Config{Root: root, Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	return s, c
}

// role is the session of a role.
func role() call.Principal {
	return call.Principal{
		Type: call.AssumedRole, Account: "111122223333",
		ARN: "arn:aws:sts::111122223333:assumed-role/app/run-7", UserID: "AROAIOSFODNN7EXAMPLE2:run-7",
		Session: &call.Session{
			Issued: start, Expires: start.Add(time.Hour),
			RoleARN: "arn:aws:iam::111122223333:role/team/app", RoleID: "AROAIOSFODNN7EXAMPLE2", RoleName: "app", Name: "run-7",
			Tags: map[string]string{"team": "core", "class": "internal"}, TransitiveTags: []string{"team"},
			Policies: []string{`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"bedrock:InvokeModel","Resource":"*"}]}`},
		},
	}
}

func issue(t testing.TB, s *session.Service, p call.Principal) session.Credentials {
	t.Helper()
	c, err := s.Issue(p)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func refused(t testing.TB, err error, code string) {
	t.Helper()
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != code || e.HTTPStatus() != http.StatusForbidden {
		t.Errorf("error %v, want %s 403", err, code)
	}
}

func TestIssueAndOpen(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	want := role()
	c := issue(t, s, want)
	if !strings.HasPrefix(c.AccessKeyID, "ASIA") || len(c.AccessKeyID) != 20 || len(c.Secret.Reveal()) != 40 || !c.Expires.Equal(want.Session.Expires) {
		t.Errorf("credentials %s, secret of %d characters, until %s", c.AccessKeyID, len(c.Secret.Reveal()), c.Expires)
	}
	if c.Packed < 1 || c.Packed > 20 || c.Used < 5 || c.Used > 25 {
		t.Errorf("packed %d %%, token %d %% of its room", c.Packed, c.Used)
	}
	for range 2 { // from the token, then from memory
		p, sec, err := s.Open(c.AccessKeyID, c.Token)
		if err != nil {
			t.Fatal(err)
		}
		want.AccessKeyID = c.AccessKeyID
		if d := cmp.Diff(want, p); d != "" {
			t.Errorf("principal (-want +got):\n%s", d)
		}
		if string(sec.Reveal()) != string(c.Secret.Reveal()) {
			t.Error("another secret")
		}
	}
}

// Every field of a session goes through its token: one that is forgotten here would
// be a session that has lost a bound.
func TestEveryFieldSurvives(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	want := call.Principal{Session: &call.Session{}}
	n := 0
	fill(t, reflect.ValueOf(&want).Elem(), &n)
	fill(t, reflect.ValueOf(want.Session).Elem(), &n)
	want.Account, want.Bearer, want.BearerType = "000011112222", false, ""
	want.Session.Issued, want.Session.Expires = start, start.Add(900*time.Second)
	c := issue(t, s, want)
	want.AccessKeyID = c.AccessKeyID
	got, _, err := s.Open(c.AccessKeyID, c.Token)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Errorf("principal (-want +got):\n%s", d)
	}
}

// fill gives every field of a struct a value of its own.
func fill(t *testing.T, v reflect.Value, n *int) {
	t.Helper()
	for i := range v.NumField() {
		*n++
		word := strings.Repeat("x", *n)
		switch f := v.Field(i); f.Interface().(type) {
		case time.Time:
			f.Set(reflect.ValueOf(start.Add(time.Duration(*n) * time.Second)))
		case []string:
			f.Set(reflect.ValueOf([]string{word, "second", ""}))
		case map[string]string:
			f.Set(reflect.ValueOf(map[string]string{word: "value", "empty": ""}))
		case bool:
			f.SetBool(true)
		case *call.Session:
		default:
			if f.Kind() != reflect.String {
				t.Fatalf("field %s has a type that this test does not know", v.Type().Field(i).Name)
			}
			f.SetString(word)
		}
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	for _, life := range []time.Duration{900 * time.Second, time.Hour, 12 * time.Hour, 36 * time.Hour} {
		s, now := newService(t)
		p := role()
		p.Session.Expires = start.Add(life)
		c := issue(t, s, p)
		for range 2 { // with and without the session in memory
			now.set(start.Add(life))
			if _, _, err := s.Open(c.AccessKeyID, c.Token); err != nil {
				t.Errorf("%s: refused at its last second: %v", life, err)
			}
			for _, late := range []time.Duration{time.Nanosecond, time.Second, time.Hour} {
				now.set(start.Add(life + late))
				_, _, err := s.Open(c.AccessKeyID, c.Token)
				refused(t, err, apierr.CodeExpiredToken)
				if e := apierr.From(err); e.Message != "The security token included in the request is expired" {
					t.Errorf("message %q", e.Message)
				}
			}
		}
	}
}

// A change of any one byte makes a token nobody's, and so does any other access key.
func TestChangedTokens(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	c, other := issue(t, s, role()), issue(t, s, role())
	foreign, _ := newService(t)
	for i := range len(c.Token) {
		for _, b := range []byte{c.Token[i] ^ 1, 'A', '-', '\n', '='} {
			if b == c.Token[i] {
				continue
			}
			bad := c.Token[:i] + string(rune(b)) + c.Token[i+1:]
			if _, _, err := s.Open(c.AccessKeyID, bad); err == nil {
				t.Fatalf("byte %d changed to %q: accepted", i, b)
			} else {
				refused(t, err, apierr.CodeUnrecognizedClient)
			}
		}
	}
	for name, in := range map[string][2]string{
		"no token":                  {c.AccessKeyID, ""},
		"token of another key":      {other.AccessKeyID, c.Token},
		"long-term key":             {"AKIAIOSFODNN7EXAMPLE", c.Token},
		"no key":                    {"", c.Token},
		"token and a line end":      {c.AccessKeyID, c.Token + "\n"},
		"line end in the token":     {c.AccessKeyID, c.Token[:9] + "\r\n" + c.Token[9:]},
		"token and padding":         {c.AccessKeyID, c.Token + "="},
		"shorter":                   {c.AccessKeyID, c.Token[:len(c.Token)-1]},
		"the token twice":           {c.AccessKeyID, c.Token + c.Token},
		"the token in small":        {c.AccessKeyID, strings.ToLower(c.Token)},
		"the key in small":          {strings.ToLower(c.AccessKeyID), c.Token},
		"far too long":              {c.AccessKeyID, strings.Repeat("A", 1<<20)},
		"another installation's":    func() [2]string { f := issue(t, foreign, role()); return [2]string{f.AccessKeyID, f.Token} }(),
		"another key of that shape": {"ASIAIOSFODNN7EXAMPLE", c.Token},
	} {
		_, _, err := s.Open(in[0], in[1])
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		refused(t, err, apierr.CodeUnrecognizedClient)
	}
}

func TestPackedPolicyTooLarge(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	p := role()
	p.Session.Tags = map[string]string{}
	var err error
	last := 0
	for i := 0; err == nil && i < 50; i++ {
		// What does not repeat cannot be packed.
		p.Session.Tags[word(uint64(i)*2+1, 128)] = word(uint64(i)*2+2, 256)
		var c session.Credentials
		if c, err = s.Issue(p); err == nil {
			if c.Packed <= last || c.Packed > 100 {
				t.Errorf("%d tags: packed %d %% after %d %%", i+1, c.Packed, last)
			}
			if len(c.Token) > session.MaxToken {
				t.Errorf("token of %d characters", len(c.Token))
			}
			last = c.Packed
		}
	}
	e, ok := errors.AsType[*apierr.Error](err)
	if !ok || e.Code != "PackedPolicyTooLarge" || e.HTTPStatus() != http.StatusBadRequest || !strings.HasPrefix(e.Message, "Packed policy consumes 1") {
		t.Errorf("error %v behind %d %%", err, last)
	}
}

// word is n letters and digits that look random.
func word(seed uint64, n int) string {
	const chars = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+-"
	b := make([]byte, n)
	x := seed * 0x9E3779B97F4A7C15
	for i := range b {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = chars[x%64]
	}
	return string(b)
}

func TestIssueSized(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	for _, n := range []int{0, 1, 1000, 1001, 1002, 1003, 4095, 4096} {
		c, err := s.IssueSized(role(), n)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.Token) < n || n > 1000 && len(c.Token) > n+4 || c.Used > 101 {
			t.Errorf("asked for %d characters, got %d (%d %%)", n, len(c.Token), c.Used)
		}
		if _, _, err := s.Open(c.AccessKeyID, c.Token); err != nil {
			t.Errorf("%d characters: %v", n, err)
		}
	}
}

func TestIssueRefusesWhatIsNoSession(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	for name, change := range map[string]func(*call.Principal){
		"no session":       func(p *call.Principal) { p.Session = nil },
		"no account":       func(p *call.Principal) { p.Account = "" },
		"bearer":           func(p *call.Principal) { p.Bearer = true },
		"ends at once":     func(p *call.Principal) { p.Session.Expires = p.Session.Issued },
		"parts of seconds": func(p *call.Principal) { p.Session.Issued = p.Session.Issued.Add(1) },
	} {
		p := role()
		change(&p)
		_, err := s.Issue(p)
		if _, shown := errors.AsType[*apierr.Error](err); err == nil || shown {
			t.Errorf("%s: error %v", name, err)
		}
	}
}

func TestAccount(t *testing.T) {
	t.Parallel()
	s, _ := newService(t)
	seen := map[string]bool{}
	for _, account := range []string{"000000000000", "000000000001", "111122223333", "999999999999"} {
		for range 50 {
			p := role()
			p.Account = account
			id := issue(t, s, p).AccessKeyID
			if got, ok := session.Account(id); !ok || got != account || !session.IsID(id) || seen[id] {
				t.Errorf("%s of %s is read as %s, %t (seen: %t)", id, account, got, ok, seen[id])
			}
			seen[id] = true
		}
	}
	// The form is AWS's: the example of a published key and its account.
	if got, ok := session.Account("ASIAQNZGKIQY56JQ7WML"); !ok || got != "029608264753" {
		t.Errorf("the published example is of %s, %t", got, ok)
	}
	for _, bad := range []string{"", "ASIA", "AKIAQNZGKIQY56JQ7WML", "ASIAQNZGKIQY56JQ7WM", "ASIAQNZGKIQY56JQ7WML2", "ASIAQNZGKIQY56JQ7W\nL", "ASIA7777777777777777", "asiaqnzgkiqy56jq7wml", "ASIA0000000000000000"} {
		if _, ok := session.Account(bad); ok {
			t.Errorf("%q is taken for a session's id", bad)
		}
	}
}

// The cache is bounded, and a session that fell out still opens.
func TestManySessions(t *testing.T) {
	t.Parallel()
	root, err := keys.LoadRootKey(filepath.Join(t.TempDir(), keys.RootKeyFile))
	if err != nil {
		t.Fatal(err)
	}
	s, err := session.New(session.Config{Root: root, Size: 3, Now: func() time.Time { return start }})
	if err != nil {
		t.Fatal(err)
	}
	var all []session.Credentials
	for range 10 {
		all = append(all, issue(t, s, role()))
	}
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				for _, c := range all {
					if p, _, err := s.Open(c.AccessKeyID, c.Token); err != nil || p.AccessKeyID != c.AccessKeyID {
						t.Errorf("%s: %v", c.AccessKeyID, err)
					}
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkOpen(b *testing.B) {
	s, _ := newService(b)
	c := issue(b, s, role())
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Open(c.AccessKeyID, c.Token); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIssue(b *testing.B) {
	s, _ := newService(b)
	b.ReportAllocs()
	for b.Loop() {
		issue(b, s, role())
	}
}
