package e2e

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// holding lists the files below dir in which one of the secrets stands.
func holding(t *testing.T, dir string, secrets map[string]string) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for name, secret := range secrets {
			if bytes.Contains(text, []byte(secret)) {
				found = append(found, name+" in "+filepath.Base(path))
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestSecretsAreSealed makes every kind of secret with the AWS CLI and looks for it
// in the data directory and the log, then puts the root key under a passphrase and
// under commands of a key management system: the same keys go on.
func TestSecretsAreSealed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	srv := startFor(t, options{program: s.scripted})
	awsDo(t, srv, nil, "iam", "create-user", "--user-name", "ana")
	var key struct {
		AccessKey struct{ AccessKeyId, SecretAccessKey string }
	}
	awsJSON(t, srv, &key, "iam", "create-access-key", "--user-name", "ana")
	var bearer struct {
		ServiceSpecificCredential struct{ ServiceCredentialSecret string }
	}
	awsJSON(t, srv, &bearer, "iam", "create-service-specific-credential", "--user-name", "ana", "--service-name", "bedrock.amazonaws.com")
	seed := filepath.Join(dir, "seed")
	awsDo(t, srv, nil, "iam", "create-virtual-mfa-device", "--virtual-mfa-device-name", "ana", "--outfile", seed, "--bootstrap-method", "Base32StringSeed")
	text, err := os.ReadFile(seed)
	if err != nil {
		t.Fatal(err)
	}
	ana := []string{"AWS_ACCESS_KEY_ID=" + key.AccessKey.AccessKeyId, "AWS_SECRET_ACCESS_KEY=" + key.AccessKey.SecretAccessKey}
	var session struct {
		Credentials struct{ SecretAccessKey, SessionToken string }
	}
	awsJSONAs(t, srv, ana, &session, "sts", "get-session-token")
	secrets := map[string]string{
		"the secret of the root's key": srv.env["AWS_SECRET_ACCESS_KEY"], "the secret of a user's key": key.AccessKey.SecretAccessKey,
		"a bearer key": bearer.ServiceSpecificCredential.ServiceCredentialSecret, "the seed of a device": strings.TrimSpace(string(text)),
		"the secret of a session": session.Credentials.SecretAccessKey, "a session token": session.Credentials.SessionToken,
	}
	for name, secret := range secrets {
		if len(secret) < 20 {
			t.Fatalf("no %s", name)
		}
		// The first start prints the root's key, once.
		if strings.Contains(srv.log.String(), secret) && secret != srv.env["AWS_SECRET_ACCESS_KEY"] {
			t.Errorf("%s stands in the log", name)
		}
	}
	who := func(srv *server) {
		t.Helper()
		if arn := awsDo(t, srv, ana, "sts", "get-caller-identity", "--query", "Arn", "--output", "text"); !strings.Contains(arn, ":user/ana") {
			t.Errorf("the key is of %s", arn)
		}
	}
	path := filepath.Join(srv.data, "root.key")
	if f, err := os.Stat(path); err != nil || f.Mode().Perm() != 0o600 {
		t.Errorf("root.key: %v, %v", f, err)
	}
	plain, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := srv.stop(); err != nil {
		t.Fatal(err)
	}
	if found := holding(t, srv.data, secrets); len(found) > 0 {
		t.Errorf("in the clear: %v", found)
	}

	phrase, wrong := filepath.Join(dir, "phrase"), filepath.Join(dir, "wrong")
	for name, text := range map[string]string{phrase: "correct horse battery staple", wrong: "incorrect horse"} {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	protect := func(file string) string { return fmt.Sprintf("root_key: {passphrase_file: %q}", file) }
	settings := fmt.Sprintf("models_dir: %q\nengines_dir: %q\n%s\n", s.models, s.engines, protect(phrase))
	if err := os.WriteFile(srv.config, []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := srv.cli(t.Context(), "keys", "protect").CombinedOutput(); err != nil {
		t.Fatalf("keys protect: %v\n%s", err, out)
	}
	secrets["the root key"] = string(plain)
	if found := holding(t, srv.data, secrets); len(found) > 0 {
		t.Errorf("in the clear: %v", found)
	}
	again := startFor(t, options{program: s.scripted, data: srv.data, config: protect(phrase)})
	who(again)
	if err := again.stop(); err != nil {
		t.Fatal(err)
	}
	for name, config := range map[string]string{"another passphrase": protect(wrong), "no passphrase": ""} {
		if _, err := start(t.Context(), options{program: s.scripted, data: srv.data, config: config}); err == nil || !strings.Contains(err.Error(), "root") {
			t.Errorf("with %s: %v", name, err)
		}
	}

	// Commands of a key management system; base64 stands for one.
	fresh := startFor(t, options{program: s.scripted, config: "root_key: {wrap: [base64, -w0], unwrap: [base64, -d]}"})
	awsDo(t, fresh, nil, "sts", "get-caller-identity")
	if text, err := os.ReadFile(filepath.Join(fresh.data, "root.key")); err != nil || len(text) <= 32 {
		t.Errorf("the wrapped root key has %d bytes, %v", len(text), err)
	}
}

// TestNoLongTermBearerKeys: the switch that forbids them, for users and for roots.
func TestNoLongTermBearerKeys(t *testing.T) {
	t.Parallel()
	srv := startFor(t, options{program: s.scripted, config: "keys: {forbid_long_term_bearer: true}"})
	awsDo(t, srv, nil, "iam", "create-user", "--user-name", "ana")
	said := awsFails(t, srv, "AccessDenied", nil, "iam", "create-service-specific-credential", "--user-name", "ana", "--service-name", "bedrock.amazonaws.com")
	if !strings.Contains(said, "forbid_long_term_bearer") {
		t.Errorf("it says %s", said)
	}
	if out, err := srv.cli(t.Context(), "keys", "create", "--bearer").CombinedOutput(); err == nil || !strings.Contains(string(out), "forbid_long_term_bearer") {
		t.Errorf("keys create --bearer: %v %s", err, out)
	}
	awsDo(t, srv, nil, "iam", "create-access-key", "--user-name", "ana") // others are made
}
