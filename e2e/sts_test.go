package e2e

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const webIssuer = "https://id.example.com/realm"

// webIdentity makes an identity provider: the file with its keys, and one with a
// token of it.
func webIdentity(t *testing.T, dir string) (keys, token string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	encode := func(v any) string {
		b, ok := v.([]byte)
		if !ok {
			if b, err = json.Marshal(v); err != nil {
				t.Fatal(err)
			}
		}
		return base64.RawURLEncoding.EncodeToString(b)
	}
	set, err := json.Marshal(map[string]any{"keys": []any{map[string]string{
		"kty": "RSA", "kid": "k1", "use": "sig", "alg": "RS256", "n": encode(key.N.Bytes()), "e": encode(big.NewInt(int64(key.E)).Bytes()),
	}}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	text := encode(map[string]string{"alg": "RS256", "kid": "k1"}) + "." + encode(map[string]any{
		"iss": webIssuer, "sub": "system:serviceaccount:team:app", "aud": "sts.amazonaws.com", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	sum := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	keys, token = filepath.Join(dir, "keys.json"), filepath.Join(dir, "token")
	for path, b := range map[string][]byte{keys: set, token: []byte(text + "." + encode(signature))} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return keys, token
}

// freePort is a port of the loopback that nobody used a moment ago.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// TestSTS runs clients/sts_cases.py against a server that believes an identity
// provider and hands out credentials to workloads.
func TestSTS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	keys, web := webIdentity(t, dir)
	token, port := filepath.Join(dir, "workload-token"), freePort(t)
	const account = "000000000000"
	srv := startFor(t, options{program: s.scripted, config: fmt.Sprintf(`
oidc_issuers: [{issuer: %q, jwks_file: %q}]
workloads:
  listen: 127.0.0.1:%d
  roles:
    - {name: app, role_arn: "arn:aws:iam::%s:role/app", token_file: %q}
    - {name: desk, role_arn: "arn:aws:iam::%s:role/desk", uid: %d}
`, webIssuer, keys, port, account, token, account, os.Getuid())})
	runCases(t, srv, "sts_cases.py", "WEB_ISSUER="+webIssuer, "WEB_TOKEN="+web,
		fmt.Sprintf("WORKLOADS=http://127.0.0.1:%d", port), "WORKLOAD_TOKEN="+token)
}

// TestSTSByAWSCLI assumes a role by a profile, as people do: the CLI asks for the
// session itself and keeps it.
func TestSTSByAWSCLI(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted})
	run := func(args ...string) {
		t.Helper()
		if out, err := awsCommand(t, srv, nil, args...).Output(); err != nil {
			t.Fatalf("aws %s: %v\n%s", strings.Join(args, " "), commandError(err), out)
		}
	}
	const root, allow = "arn:aws:iam::000000000000:root", `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":%s,"Resource":"*"}]}`
	run("iam", "create-user", "--user-name", "cli")
	run("iam", "put-user-policy", "--user-name", "cli", "--policy-name", "assume", "--policy-document", fmt.Sprintf(allow, `"sts:AssumeRole"`))
	run("iam", "create-role", "--role-name", "cli", "--assume-role-policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"`+root+`"},"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":"x-1"}}}]}`)
	run("iam", "put-role-policy", "--role-name", "cli", "--policy-name", "invoke", "--policy-document", fmt.Sprintf(allow, `"bedrock:InvokeModel"`))
	var key struct {
		AccessKey struct{ AccessKeyId, SecretAccessKey string }
	}
	awsJSON(t, srv, &key, "iam", "create-access-key", "--user-name", "cli")

	config := filepath.Join(t.TempDir(), "config")
	profile := func(external string) string {
		return "role_arn = arn:aws:iam::000000000000:role/cli\nsource_profile = ana\nrole_session_name = from-cli\nexternal_id = " + external + "\n"
	}
	text := "[profile ana]\naws_access_key_id = " + key.AccessKey.AccessKeyId + "\naws_secret_access_key = " + key.AccessKey.SecretAccessKey +
		"\n[profile role]\n" + profile("x-1") + "[profile wrong]\n" + profile("x-2")
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The keys of the environment would win over a profile.
	as := func(name string) []string {
		return []string{"AWS_CONFIG_FILE=" + config, "AWS_PROFILE=" + name, "AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}
	}
	out, err := awsCommand(t, srv, as("role"), "sts", "get-caller-identity").Output()
	if err != nil || !strings.Contains(string(out), "arn:aws:sts::000000000000:assumed-role/cli/from-cli") {
		t.Fatalf("get-caller-identity: %v\n%s", commandError(err), out)
	}
	converse := []string{"bedrock-runtime", "converse", "--model-id", smollm, "--messages", `[{"role":"user","content":[{"text":"hello"}]}]`}
	if out, err := awsCommand(t, srv, as("role"), converse...).Output(); err != nil {
		t.Errorf("converse: %v\n%s", commandError(err), out)
	}
	awsFails(t, srv, "AccessDenied", as("wrong"), "sts", "get-caller-identity")
	awsFails(t, srv, "AccessDeniedException", as("ana"), converse...)
	run("iam", "put-role-policy", "--role-name", "cli", "--policy-name", "AWSRevokeOlderSessions", "--policy-document",
		`{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*","Condition":{"DateLessThan":{"aws:TokenIssueTime":"`+
			time.Now().UTC().Add(time.Minute).Format(time.RFC3339)+`"}}}]}`)
	awsFails(t, srv, "AccessDeniedException", as("role"), converse...)
}
