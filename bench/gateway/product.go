//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

const (
	region   = "us-east-1"
	account  = "000000000000"
	userName = "bench"
	policies = 5
)

// product is Outcrop as its users run it: the built program, with signatures,
// policies, quotas, metering and call log on.
type product struct {
	*server
	creds  sigv4.Credentials // of a user whom policies bind
	bearer string            // a bearer key of the same user
}

// modelID is the Bedrock id of one of the mock's models.
func modelID(kind string) string { return "acme." + kind + "-v1:0" }

// startProduct builds and starts Outcrop before the mock.
func (b *bench) startProduct(ctx context.Context) (*product, error) {
	bin := b.program
	if bin == "" {
		bin = filepath.Join(b.dir, "outcrop")
		if err := once(ctx, b.repository, []string{"CGO_ENABLED=0"}, "go", "build", "-trimpath", "-o", bin, "./cmd/outcrop"); err != nil {
			return nil, err
		}
	}
	catalogue := filepath.Join(b.dir, "catalogue.yaml")
	if err := os.WriteFile(catalogue, []byte(catalogueText()), 0o600); err != nil {
		return nil, fmt.Errorf("start Outcrop: %w", err)
	}
	config := filepath.Join(b.dir, "outcrop.yaml")
	text := fmt.Sprintf("catalog: %q\nmodels_dir: %q\nengines_dir: %q\nupstreams:\n"+
		"  - {name: mock, url: \"http://%[4]s/v1\", kind: openai, concurrent: 64, accounts: [\"*\"]}\n"+
		"  - {name: patient, url: \"http://%[4]s/v1\", kind: openai, concurrent: 4096, accounts: [\"*\"]}\n",
		catalogue, filepath.Join(b.cache, "models"), filepath.Join(b.cache, "engines"), b.mock)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("start Outcrop: %w", err)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(b.dir, "data")
	env := []string{"GOMAXPROCS=1"}
	if b.environment != "" {
		env = append(env, strings.Fields(b.environment)...)
	}
	s, err := b.start(ctx, outcrop, port, "/readyz", env, bin, "serve", "--data", data, "--config", config, "--listen", "127.0.0.1:"+port)
	if err != nil {
		return nil, err
	}
	p := &product{server: s}
	if err := p.governed(ctx, bin, data); err != nil {
		return nil, errors.Join(err, s.stop())
	}
	return p, nil
}

// catalogueText puts the mock's models before the built-in ones, none of which
// is needed.
func catalogueText() string {
	var b strings.Builder
	b.WriteString("weights:\n  - {id: smollm2-135m-instruct, default: false}\n  - {id: all-minilm-l6-v2, default: false}\n")
	for _, kind := range []string{instant, paced, burst, stay} {
		upstream := "mock"
		if kind == stay { // which has thousands of streams
			upstream = "patient"
		}
		fmt.Fprintf(&b, "  - {id: mock-%s, name: Mock, license: none, source: {upstream: %s, model: %s}, mode: chat, context_tokens: 32768, default_max_tokens: 1024}\n", kind, upstream, kind)
	}
	b.WriteString("models:\n")
	for _, kind := range []string{instant, paced, burst, stay} {
		fmt.Fprintf(&b, "  - {id: %q, name: Mock, provider: Acme, family: converse, weights: mock-%s, streaming: true}\n", modelID(kind), kind)
	}
	return b.String()
}

// policyOf is one of the user's policies: three statements with wildcards, a
// condition and a variable. The last policy allows the calls.
func policyOf(i int) string {
	resource := fmt.Sprintf("arn:aws:bedrock:*::foundation-model/provider%d.*", i)
	if i == policies-1 {
		resource = "arn:aws:bedrock:*::foundation-model/*"
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["bedrock:InvokeModel*","bedrock:CallWithBearerToken"],"Resource":["%s","arn:aws:bedrock:*:*:bearer/%d"]},
		{"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalTag/team":"locked-%d-*"}}},
		{"Effect":"Allow","Action":"bedrock:CallWithBearerToken","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":["127.0.0.0/8","10.%d.0.0/16"]}}}]}`,
		resource, i, i, i)
}

// governed makes the user whose calls are measured, and quotas of its own for it.
func (p *product) governed(ctx context.Context, bin, data string) error {
	command := func(out any, args ...string) error {
		cmd := exec.CommandContext(ctx, bin, append(args, "--data", data)...) //nolint:gosec // what was just built
		var said bytes.Buffer
		cmd.Stderr = &said
		b, err := cmd.Output()
		if err != nil {
			return fmt.Errorf("outcrop %s: %w\n%s", strings.Join(args, " "), err, said.Bytes())
		}
		if out == nil {
			return nil
		}
		return json.Unmarshal(b, out)
	}
	type key struct {
		ID      string `json:"id"`
		Account string `json:"account"`
		Secret  string `json:"secret"`
	}
	var root, user, bearer key
	if err := command(&root, "keys", "create", "--json"); err != nil {
		return err
	}
	p.creds = sigv4.Credentials{AccessKeyID: root.ID, Secret: secret.NewString(root.Secret)}
	if err := p.iam(ctx, "CreateUser", "UserName", userName); err != nil {
		return err
	}
	for i := range policies {
		name := fmt.Sprintf("p%d", i)
		if err := p.iam(ctx, "CreatePolicy", "PolicyName", name, "PolicyDocument", policyOf(i)); err != nil {
			return err
		}
		if err := p.iam(ctx, "AttachUserPolicy", "UserName", userName, "PolicyArn", "arn:aws:iam::"+root.Account+":policy/"+name); err != nil {
			return err
		}
	}
	if err := command(&user, "keys", "create", "--json", "--user", userName); err != nil {
		return err
	}
	if err := command(&bearer, "keys", "create", "--json", "--bearer", "--user", userName); err != nil {
		return err
	}
	for quota, value := range map[string]string{"requests-per-minute": "6000000", "tokens-per-minute": "900000000", "concurrent-requests": "100000"} {
		if err := command(nil, "quotas", "set", quota, value, "--account", root.Account, "--principal", "*"); err != nil {
			return err
		}
	}
	p.creds = sigv4.Credentials{AccessKeyID: user.ID, Secret: secret.NewString(user.Secret)}
	p.bearer = bearer.Secret
	return nil
}

// iam calls an operation of IAM with parameters in pairs.
func (p *product) iam(ctx context.Context, operation string, pairs ...string) error {
	form := url.Values{"Action": {operation}, "Version": {"2010-05-08"}}
	for i := 0; i < len(pairs); i += 2 {
		form.Set(pairs[i], pairs[i+1])
	}
	body := form.Encode()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.address+"/", strings.NewReader(body))
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if err := sigv4.Sign(r, []byte(body), p.creds, region, "iam", time.Now()); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s: %w", operation, resp.Status, b, errors.Join(err, xml.Unmarshal(b, new(any))))
	}
	return nil
}

// signed is the bytes of a signed call of the runtime API to a server: they are
// good for 5 minutes.
func signed(address, kind, operation, body string, creds sigv4.Credentials) ([]byte, error) {
	r, err := http.NewRequest(http.MethodPost, "http://"+address+"/model/"+url.PathEscape(modelID(kind))+"/"+operation, strings.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "outcrop-bench")
	if err := sigv4.Sign(r, []byte(body), creds, region, "bedrock", time.Now()); err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		return nil, fmt.Errorf("make a request: %w", err)
	}
	return b.Bytes(), nil
}
