package e2e

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- what RFC 6238 and every authenticator use
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
)

// person is a user with an access key.
type person struct {
	name string
	env  []string // credentials
}

// newPerson makes a user who may do some actions on everything.
func newPerson(t *testing.T, srv *server, name string, actions ...string) person {
	t.Helper()
	awsDo(t, srv, nil, "iam", "create-user", "--user-name", name)
	awsDo(t, srv, nil, "iam", "put-user-policy", "--user-name", name, "--policy-name", "may", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["`+strings.Join(actions, `","`)+`"],"Resource":"*"}]}`)
	var made struct {
		AccessKey struct{ AccessKeyID, SecretAccessKey string }
	}
	awsJSON(t, srv, &made, "iam", "create-access-key", "--user-name", name)
	return person{name, []string{"AWS_ACCESS_KEY_ID=" + made.AccessKey.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + made.AccessKey.SecretAccessKey}}
}

func awsDo(t *testing.T, srv *server, env []string, args ...string) string {
	t.Helper()
	out, err := awsCommand(t, srv, env, args...).Output()
	if err != nil {
		t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), commandError(err), out)
	}
	return string(out)
}

// awsJSONAs is awsJSON as somebody.
func awsJSONAs(t *testing.T, srv *server, env []string, into any, args ...string) {
	t.Helper()
	text := awsDo(t, srv, env, args...)
	if err := json.Unmarshal([]byte(text), into); err != nil {
		t.Fatalf("aws %s printed %q: %v", strings.Join(args, " "), text, err)
	}
}

// outcrop runs a command as somebody.
func (p person) outcrop(t *testing.T, srv *server, args ...string) (string, error) {
	t.Helper()
	cmd := srv.cli(t.Context(), args...)
	cmd.Env = append(cmd.Env, p.env...)
	out, err := cmd.Output()
	return string(out), err
}

func (p person) must(t *testing.T, srv *server, out any, args ...string) {
	t.Helper()
	text, err := p.outcrop(t, srv, append(args, "--json")...)
	if err != nil {
		t.Fatalf("%s: outcrop %s: %v", p.name, strings.Join(args, " "), commandError(err))
	}
	if err := json.Unmarshal([]byte(text), out); err != nil {
		t.Fatalf("%s: outcrop %s printed %q: %v", p.name, strings.Join(args, " "), text, err)
	}
}

func (p person) refused(t *testing.T, srv *server, part string, args ...string) {
	t.Helper()
	_, err := p.outcrop(t, srv, args...)
	exit, ok := err.(*exec.ExitError)
	if !ok || !strings.Contains(string(exit.Stderr), part) {
		t.Errorf("%s: outcrop %s: %v, want an error with %q", p.name, strings.Join(args, " "), commandError(err), part)
	}
}

// oneTimeCode is what an authenticator shows: RFC 6238.
func oneTimeCode(seed string, at time.Time) string {
	key, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(strings.TrimRight(seed, "="))
	if err != nil {
		panic(err)
	}
	mac := hmac.New(sha1.New, key)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/30)) //nolint:gosec // after 1970
	sum := mac.Sum(nil)
	at4 := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[at4:])&0x7fffffff)%1_000_000)
}

// TestApprovals walks what two people do: one asks for a role and for a change,
// the other one proves a one-time code and agrees.
func TestApprovals(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{})
	ana := newPerson(t, srv, "ana", "outcrop:CreateAccessRequest", "outcrop:StartElevatedSession", "outcrop:ApproveAccessRequest", "bedrock:CreateInferenceProfile")
	bob := newPerson(t, srv, "bob", "outcrop:*", "sts:GetSessionToken")

	const serial = "arn:aws:iam::000000000000:mfa/bob"
	seedFile := t.TempDir() + "/seed"
	awsDo(t, srv, nil, "iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", "bob", "--outfile", seedFile, "--bootstrap-method", "Base32StringSeed")
	text, err := os.ReadFile(seedFile)
	if err != nil {
		t.Fatal(err)
	}
	seed := strings.TrimSpace(string(text))
	now := time.Now()
	awsDo(t, srv, nil, "iam", "enable-mfa-device", "--user-name", "bob", "--serial-number", serial,
		"--authentication-code1", oneTimeCode(seed, now.Add(-30*time.Second)), "--authentication-code2", oneTimeCode(seed, now))
	// A code is good once, and the next one a step early.
	code := oneTimeCode(seed, now.Add(30*time.Second))

	awsDo(t, srv, nil, "iam", "create-role", "--role-name", "operator", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"bedrock.amazonaws.com"},"Action":"sts:AssumeRole"}]}`)
	awsDo(t, srv, nil, "iam", "attach-role-policy", "--role-name", "operator", "--policy-arn", "arn:aws:iam::aws:policy/AmazonBedrockFullAccess")

	type request struct{ RequestID, State, Failure string }
	var r request
	ana.must(t, srv, &r, "access", "request", "arn:aws:iam::000000000000:role/operator", "--reason", "restore a backup", "--duration", "15m")
	if r.State != "PENDING" {
		t.Fatalf("%+v", r)
	}
	ana.refused(t, srv, "ConflictException", "access", "session", r.RequestID)
	ana.refused(t, srv, "somebody else", "access", "approve", r.RequestID)
	bob.refused(t, srv, "one-time code", "access", "approve", r.RequestID)

	// bob proves a code once and goes on with that session.
	var proved struct {
		Credentials struct{ AccessKeyID, SecretAccessKey, SessionToken string }
	}
	awsJSONAs(t, srv, bob.env, &proved, "sts", "get-session-token", "--serial-number", serial, "--token-code", code)
	c := proved.Credentials
	approver := person{"bob with a code", []string{"AWS_ACCESS_KEY_ID=" + c.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + c.SecretAccessKey, "AWS_SESSION_TOKEN=" + c.SessionToken}}
	approver.must(t, srv, &r, "access", "approve", r.RequestID, "--comment", "go")
	if r.State != "APPROVED" {
		t.Fatalf("%+v", r)
	}
	bob.refused(t, srv, "Only who made", "access", "session", r.RequestID)

	var s struct{ AccessKeyID, SecretAccessKey, SessionToken, Expiration string }
	ana.must(t, srv, &s, "access", "session", r.RequestID)
	elevated := []string{"AWS_ACCESS_KEY_ID=" + s.AccessKeyID, "AWS_SECRET_ACCESS_KEY=" + s.SecretAccessKey, "AWS_SESSION_TOKEN=" + s.SessionToken}
	if who := awsDo(t, srv, elevated, "sts", "get-caller-identity", "--query", "Arn", "--output", "text"); !strings.Contains(who, "assumed-role/operator/"+r.RequestID) {
		t.Errorf("the elevated session is %s", who)
	}

	// Ending it cuts what is open and refuses what comes.
	client := bedrockruntime.New(bedrockruntime.Options{
		Region: region, BaseEndpoint: aws.String(srv.endpoint), HTTPClient: &recorder{},
		Credentials: credentials.NewStaticCredentialsProvider(s.AccessKeyID, s.SecretAccessKey, s.SessionToken),
	})
	st := openStory(t.Context(), t, client)
	defer st.Close()
	bob.must(t, srv, &r, "access", "end", r.RequestID)
	ended := time.Now()
	for range st.Events() {
	}
	if took := time.Since(ended); st.Err() == nil || !strings.Contains(st.Err().Error(), "taken away") {
		t.Errorf("the open stream ended after %v with %v", took, st.Err())
	} else {
		t.Logf("the open stream was cut %v after the session's end", took.Round(time.Millisecond))
	}
	awsFails(t, srv, "InvalidClientTokenId", elevated, "sts", "get-caller-identity")

	// A change waits, is made when it is approved, and not before.
	if out, err := bob.outcrop(t, srv, "access", "rule", "--set", "bedrock:CreateInferenceProfile"); err != nil || !strings.Contains(out, "CreateInferenceProfile") {
		t.Fatalf("%s %v", out, commandError(err))
	}
	create := []string{"bedrock", "create-inference-profile", "--inference-profile-name", "prod", "--model-source", "copyFrom=arn:aws:bedrock:us-east-1::foundation-model/" + claudeV2}
	awsFails(t, srv, "AccessDeniedException", ana.env, create...)
	listed := func() string {
		return awsDo(t, srv, nil, "bedrock", "list-inference-profiles", "--type-equals", "APPLICATION", "--query", "inferenceProfileSummaries[].inferenceProfileName", "--output", "text")
	}
	if got := listed(); strings.Contains(got, "prod") {
		t.Errorf("the change was made without an approval: %s", got)
	}
	var pending []request
	bob.must(t, srv, &pending, "access", "list", "--state", "pending")
	if len(pending) != 1 {
		t.Fatalf("%+v", pending)
	}
	approver.must(t, srv, &r, "access", "approve", pending[0].RequestID)
	if r.State != "APPLIED" {
		t.Errorf("%+v", r)
	}
	if got := listed(); !strings.Contains(got, "prod") {
		t.Errorf("the approved change is not there: %q", got)
	}
	if out, err := bob.outcrop(t, srv, "access", "list"); err != nil || !strings.Contains(out, "bedrock:CreateInferenceProfile") || !strings.Contains(out, "operator for 15m0s") {
		t.Errorf("%s %v", out, commandError(err))
	}
}
