package gateway

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/apierr"
)

func TestServes(t *testing.T) {
	t.Parallel()
	all := &authenticator{}
	some := &authenticator{regions: []string{"eu-central-1", "us-gov-east-1"}}
	for _, tc := range []struct {
		region, service string
		some            bool
	}{
		{"eu-central-1", "bedrock", true}, {"us-gov-east-1", "bedrock", true}, {"us-east-1", "bedrock", false}, {"eu-west-1", "bedrock", false},
		{"us-east-1", "iam", true}, {"us-east-1", "sts", true}, {"us-east-1", "organizations", true}, {"us-east-1", "outcrop", true},
		{"us-gov-west-1", "iam", true}, {"cn-north-1", "sts", true}, {"eu-west-1", "sts", false}, {"us-east-1", "servicequotas", false}, {"us-east-1", "access-analyzer", false},
	} {
		if err := all.serves(tc.region, tc.service); err != nil {
			t.Errorf("without a list, %s in %s: %v", tc.service, tc.region, err)
		}
		err := some.serves(tc.region, tc.service)
		if (err == nil) != tc.some {
			t.Errorf("%s in %s: %v", tc.service, tc.region, err)
		}
		if e := apierr.From(err); err != nil && (e.Code != apierr.CodeInvalidSignature || e.Status != http.StatusForbidden || !strings.Contains(e.Message, "eu-central-1, us-gov-east-1")) {
			t.Errorf("%s in %s: %v", tc.service, tc.region, err)
		}
	}
	if all.unnamed() != "us-east-1" || some.unnamed() != "eu-central-1" {
		t.Errorf("requests without a region: %s, %s", all.unnamed(), some.unnamed())
	}
}

// boundTo knows one bearer key, which is good for one region.
type boundTo string

func (boundTo) SigV4(context.Context, string, string) (call.Principal, secret.Value, error) {
	return call.Principal{}, secret.Value{}, apierr.AccessDenied("no access keys here")
}

func (r boundTo) Bearer(context.Context, secret.Value) (call.Principal, string, error) {
	return call.Principal{Account: "111122223333"}, string(r), nil
}

// A short-term bearer key brings its region along: one that is not served is refused.
func TestBearerOfRegion(t *testing.T) {
	t.Parallel()
	for region, want := range map[string]string{"": "eu-central-1", "eu-central-1": "eu-central-1", "us-west-2": "us-west-2", "ap-south-1": ""} {
		a := &authenticator{callers: boundTo(region), regions: []string{"eu-central-1", "us-west-2"}}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/", nil)
		if err != nil {
			t.Fatal(err)
		}
		q := &request{Call: &call.Call{}, r: r, loopback: true}
		_, err = a.byToken(q, secret.NewString("key"))
		if e := apierr.From(err); want == "" && (err == nil || e.Code != apierr.CodeAccessDenied || !strings.Contains(e.Message, "ap-south-1")) || want != "" && (err != nil || q.Region != want) {
			t.Errorf("a key of %q: region %q, %v", region, q.Region, err)
		}
	}
}
