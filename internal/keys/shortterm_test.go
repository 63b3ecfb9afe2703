package keys_test

import (
	"context"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/keys/keystest"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// shortTerm makes a token as AWS's generators do, with the SDK's presigner.
type shortTerm struct {
	id, secret, session string
	method, host, query string
	service             string
	expires             time.Duration
	at                  time.Time
	tail                string
}

func (g shortTerm) token(t *testing.T) secret.Value {
	t.Helper()
	r, err := http.NewRequest(g.method, "https://"+g.host+"/?"+g.query+"&X-Amz-Expires="+strconv.Itoa(int(g.expires/time.Second)), nil)
	if err != nil {
		t.Fatal(err)
	}
	const empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	u, _, err := v4.NewSigner().PresignHTTP(context.Background(), aws.Credentials{AccessKeyID: g.id, SecretAccessKey: g.secret, SessionToken: g.session},
		r, empty, g.service, "eu-central-1", g.at)
	if err != nil {
		t.Fatal(err)
	}
	return secret.NewString("bedrock-api-key-" + base64.StdEncoding.EncodeToString([]byte(strings.TrimPrefix(u, "https://")+g.tail)))
}

// signer knows long-term keys and one session.
func signer(s *keys.Service) keys.Signer {
	return func(ctx context.Context, id, token string) (call.Principal, secret.Value, error) {
		if token == "session/token+of=a role" && id == "ASIAQNZGKIQY56JQ7WML" {
			return call.Principal{Account: account, AccessKeyID: id}, secret.NewString("session secret"), nil
		}
		if token != "" {
			return call.Principal{}, secret.Value{}, sigv4.Expired()
		}
		k, sec, err := s.LookupSigV4(ctx, id)
		return k.Principal(), sec, err
	}
}

// A token that temporary credentials sign carries their session token.
func TestShortTermOfASession(t *testing.T) {
	t.Parallel()
	s, _, _ := newService(t)
	good := shortTerm{
		id: "ASIAQNZGKIQY56JQ7WML", secret: "session secret", session: "session/token+of=a role", method: http.MethodPost, host: "bedrock.amazonaws.com",
		query: "Action=CallWithBearerToken", service: "bedrock", expires: time.Hour, at: start, tail: "&Version=1",
	}
	if p, _, err := s.VerifyShortTerm(t.Context(), good.token(t), signer(s)); err != nil || p.AccessKeyID != good.id {
		t.Errorf("got %+v, %v", p, err)
	}
	for _, session := range []string{"", "session/token+of=a rol", "another"} {
		bad := good
		bad.session = session
		_, _, err := s.VerifyShortTerm(t.Context(), bad.token(t), signer(s))
		wantCode(t, err, apierr.CodeAccessDenied)
	}
}

func TestShortTerm(t *testing.T) {
	t.Parallel()
	s, _, c := newService(t)
	ctx := t.Context()
	k, other := create(t, s, keys.SigV4), create(t, s, keys.SigV4)
	good := shortTerm{
		id: k.ID, secret: string(k.Secret.Reveal()), method: http.MethodPost, host: "bedrock.amazonaws.com",
		query: "Action=CallWithBearerToken", service: "bedrock", expires: 12 * time.Hour, at: start, tail: "&Version=1",
	}
	p, region, err := s.VerifyShortTerm(ctx, good.token(t), signer(s))
	if err != nil {
		t.Fatal(err)
	}
	if p != k.Principal() || region != "eu-central-1" {
		t.Errorf("got %+v in %s", p, region)
	}
	for name, change := range map[string]func(*shortTerm){
		"other secret":  func(g *shortTerm) { g.secret = string(other.Secret.Reveal()) },
		"other id":      func(g *shortTerm) { g.id = other.ID },
		"unknown id":    func(g *shortTerm) { g.id = "AKIAAAAAAAAAAAAAAAAA" },
		"other method":  func(g *shortTerm) { g.method = http.MethodGet },
		"other host":    func(g *shortTerm) { g.host = "bedrock.amazonaws.com.example" },
		"other action":  func(g *shortTerm) { g.query = "Action=GetCallerIdentity" },
		"two actions":   func(g *shortTerm) { g.query = "Action=CallWithBearerToken&Action=X" },
		"other service": func(g *shortTerm) { g.service = "sts" },
		"no version":    func(g *shortTerm) { g.tail = "" },
		"session token": func(g *shortTerm) { g.session = "token" },
		"too long":      func(g *shortTerm) { g.expires += time.Second },
		"expired":       func(g *shortTerm) { g.at = start.Add(-13 * time.Hour) },
		"not yet":       func(g *shortTerm) { g.at = start.Add(6 * time.Minute) },
	} {
		bad := good
		change(&bad)
		if _, _, err := s.VerifyShortTerm(ctx, bad.token(t), signer(s)); err == nil {
			t.Errorf("%s: accepted", name)
		} else {
			wantCode(t, err, apierr.CodeAccessDenied)
		}
	}
	text := string(good.token(t).Reveal())
	for _, bad := range []string{"bedrock-api-key-", text[:len(text)-4], text + "AAAA", strings.Replace(text, "bedrock-api-key-", "bedrock-api-key-!", 1)} {
		_, _, err := s.VerifyShortTerm(ctx, secret.NewString(bad), signer(s))
		wantCode(t, err, apierr.CodeAccessDenied)
	}
	c.t = start.Truncate(time.Second).Add(12 * time.Hour)
	if _, _, err := s.VerifyShortTerm(ctx, good.token(t), signer(s)); err != nil {
		t.Errorf("at its last moment: %v", err)
	}
	c.t = c.t.Add(time.Second)
	_, _, err = s.VerifyShortTerm(ctx, good.token(t), signer(s))
	wantCode(t, err, apierr.CodeAccessDenied)
	c.t = start
	if err := s.Disable(ctx, k.ID); err != nil {
		t.Fatal(err)
	}
	_, _, err = s.VerifyShortTerm(ctx, good.token(t), signer(s))
	wantCode(t, err, apierr.CodeAccessDenied)
}

// TestShortTermRecorded is a token of aws-bedrock-token-generator 1.1.0, made with
// the key pair of AWS's documentation.
func TestShortTermRecorded(t *testing.T) {
	t.Parallel()
	const token = "bedrock-api-key-YmVkcm9jay5hbWF6b25hd3MuY29tLz9BY3Rpb249Q2FsbFdpdGhCZWFyZXJUb2tlbiZYLUFtei1BbGdvcml0aG09QVdTNC1ITUFDLVNIQTI1NiZYLU" +
		"Ftei1DcmVkZW50aWFsPUFLSUFJT1NGT0ROTjdFWEFNUExFJTJGMjAyNjExMjIlMkZldS1jZW50cmFsLTElMkZiZWRyb2NrJTJGYXdzNF9yZXF1ZXN0JlgtQW16LURhdGU9" +
		"MjAyNjExMjJUMDIxMTA5WiZYLUFtei1FeHBpcmVzPTQzMjAwJlgtQW16LVNpZ25lZEhlYWRlcnM9aG9zdCZYLUFtei1TaWduYXR1cmU9ZjlkNTZhMjA5ZjA5OWJmM2RmZG" +
		"Y5ZGRjMTA1MjllYmQ2OTRmZTRmYTBmNDFmNTFkYjY2MmNkMTY0MTQxNTk1OCZWZXJzaW9uPTE="
	st, c, root := new(keystest.Store), &clock{}, rootKey(t)
	s := keys.New(keys.Config{Store: st, Root: root, Now: c.now})
	const id = "AKIAIOSFODNN7EXAMPLE"
	err := st.PutKey(t.Context(), keys.Stored{
		ID: id, Account: account, Region: "us-east-1", Kind: keys.SigV4, Status: keys.Active,
		Sealed: root.Seal(account, id, keys.SigV4, []byte("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")),
	})
	if err != nil {
		t.Fatal(err)
	}
	c.t = time.Date(2026, 11, 22, 14, 11, 9, 0, time.UTC)
	if p, region, err := s.VerifyShortTerm(t.Context(), secret.NewString(token), signer(s)); err != nil || region != "eu-central-1" || p.AccessKeyID != id {
		t.Errorf("got %+v in %s, %v", p, region, err)
	}
}
