package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"

	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/engine/scripted"
)

// private is a server whose one listener has the settings that f makes.
func private(t *testing.T, f func(*app.Listener)) *apptest.Server {
	t.Helper()
	return apptest.Start(t, apptest.Engine(scripted.New(scripted.Reply{Text: "one"})), apptest.Config(func(c *app.Config) {
		l := app.Listener{Name: "private", Address: "127.0.0.1:0", VPCE: "vpce-0a1b2c3d"}
		f(&l)
		c.Listen, c.Listeners = "", []app.Listener{l}
	}))
}

// TestEndpointPolicy: what a listener's policy does not allow is denied, to the
// root of the account too, and the message names the policy.
func TestEndpointPolicy(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy            string
		converse, listing bool
	}{
		"none":       {"", true, true},
		"everything": {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}]}`, true, true},
		"listing":    {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"bedrock:List*","Resource":"*"}]}`, false, true},
		"deny": {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"},{"Effect":"Deny","Principal":"*","Action":"bedrock:InvokeModel","Resource":"*"}]}`,
			false, true},
		"this endpoint": {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-0a1b2c3d"}}}]}`, true, true},
		"another":       {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"StringEquals":{"aws:SourceVpce":"vpce-1"}}}]}`, false, false},
		"TLS only":      {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"Bool":{"aws:SecureTransport":"true"}}}]}`, false, false},
		"this address":  {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:VpcSourceIp":"127.0.0.0/8"}}}]}`, true, true},
		// As at AWS, a request through an endpoint has no public address.
		"public address": {`{"Statement":[{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}]}`, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := private(t, func(l *app.Listener) {
				if c.policy != "" {
					l.Policy = filepath.Join(t.TempDir(), "policy.json")
					if err := os.WriteFile(l.Policy, []byte(c.policy), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			})
			_, err := s.Runtime().Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: new(haiku), Messages: said("hi")})
			decided(t, "Converse", err, c.converse)
			_, err = s.Bedrock().ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
			decided(t, "ListFoundationModels", err, c.listing)
		})
	}
}

func decided(t *testing.T, what string, err error, allowed bool) {
	t.Helper()
	switch {
	case allowed && err != nil:
		t.Errorf("%s: %v", what, err)
	case !allowed && (err == nil || !strings.Contains(err.Error(), "AccessDeniedException") || !strings.Contains(err.Error(), "VPC endpoint policy")):
		t.Errorf("%s: %v, want a denial that names the VPC endpoint policy", what, err)
	}
}
