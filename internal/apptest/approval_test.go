package apptest_test

import (
	"crypto/hmac"
	"crypto/sha1" // #nosec G505 -- what RFC 6238 and every authenticator use
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/secret"
)

// shownCode is what an authenticator shows: RFC 6238.
func shownCode(seed []byte, at time.Time) string {
	mac := hmac.New(sha1.New, seed)
	_ = binary.Write(mac, binary.BigEndian, uint64(at.Unix()/30)) //nolint:gosec // after 1970
	sum := mac.Sum(nil)
	from := sum[len(sum)-1] & 0x0f
	return fmt.Sprintf("%06d", (binary.BigEndian.Uint32(sum[from:])&0x7fffffff)%1_000_000)
}

// newApprover makes a user with all rights who has just proved a one-time code.
func newApprover(t *testing.T, srv *apptest.Server) regional {
	t.Helper()
	admin, name := iam.NewFromConfig(srv.AWS(srv.Key)), aws.String("approver")
	long := hostileUser(t, srv, *name, true)
	device, err := admin.CreateVirtualMFADevice(t.Context(), &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: name})
	if err != nil {
		t.Fatal(err)
	}
	seed, err := base32.StdEncoding.DecodeString(string(device.VirtualMFADevice.Base32StringSeed))
	if err != nil {
		t.Fatal(err)
	}
	serial, now := device.VirtualMFADevice.SerialNumber, time.Now()
	if _, err := admin.EnableMFADevice(t.Context(), &iam.EnableMFADeviceInput{
		UserName: name, SerialNumber: serial,
		AuthenticationCode1: aws.String(shownCode(seed, now.Add(-30*time.Second))), AuthenticationCode2: aws.String(shownCode(seed, now)),
	}); err != nil {
		t.Fatal(err)
	}
	config := srv.AWS(srv.Key)
	config.Credentials = credentials.NewStaticCredentialsProvider(long.AccessKeyID, long.SecretAccessKey, "")
	proved, err := sts.NewFromConfig(config).GetSessionToken(t.Context(), &sts.GetSessionTokenInput{
		SerialNumber: serial, TokenCode: aws.String(shownCode(seed, now.Add(30*time.Second))), // a code is good once
	})
	if err != nil {
		t.Fatal(err)
	}
	other := *srv
	other.Key.ID, other.Key.Secret = *proved.Credentials.AccessKeyId, secret.NewString(*proved.Credentials.SecretAccessKey)
	return regional{Server: &other, t: t, session: *proved.Credentials.SessionToken}
}

// TestHeldCallKeepsItsToken: a call that waits for an approval is one call, however
// often it is repeated: while it waits, when it is made, and afterwards.
func TestHeldCallKeepsItsToken(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	caller, approver := regional{Server: srv, t: t}, newApprover(t, srv)
	want := func(what string, r regional, method, path, body string, status int) string {
		t.Helper()
		got, _, answer := r.ask(homeRegion, "bedrock", method, path, "", body)
		if got != status {
			t.Fatalf("%s: %d %s", what, got, answer)
		}
		return answer
	}
	rule := func(actions string) (int, string) {
		status, _, answer := caller.ask(homeRegion, "outcrop", http.MethodPut, "/outcrop/approval-rule", "", `{"actions":[`+actions+`]}`)
		return status, answer
	}
	if status, answer := rule(`"bedrock:CreateProvisionedModelThroughput","bedrock:CreateInferenceProfile","iam:Create*"`); status != http.StatusOK {
		t.Fatalf("%d %s", status, answer)
	}
	const source = `"modelSource":{"copyFrom":"arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-3-haiku-20240307-v1:0"}`
	for _, made := range []struct{ path, body, other, list string }{
		{
			"/inference-profiles", `{"clientRequestToken":"token-1","inferenceProfileName":"prod",` + source + `}`,
			`{"clientRequestToken":"token-1","inferenceProfileName":"other",` + source + `}`, "/inference-profiles?type=APPLICATION",
		},
		{
			"/provisioned-model-throughput",
			`{"clientRequestToken":"token-1","provisionedModelName":"prod","modelUnits":1,"modelId":"anthropic.claude-3-haiku-20240307-v1:0","tags":[{"key":"a","value":"b"}]}`,
			`{"clientRequestToken":"token-1","provisionedModelName":"other","modelUnits":1,"modelId":"anthropic.claude-3-haiku-20240307-v1:0"}`, "/provisioned-model-throughputs",
		},
	} {
		create := func(status int) string {
			t.Helper()
			return want("create", caller, http.MethodPost, made.path, made.body, status)
		}
		held := create(http.StatusForbidden)
		id := regexp.MustCompile(`req-[a-z2-7]{20}`).FindString(held)
		if again := create(http.StatusForbidden); id == "" || again != held {
			t.Errorf("the repeat waits as another one:\n%s\n%s", held, again)
		}
		approve := func(id string) string {
			t.Helper()
			status, _, answer := approver.ask(homeRegion, "outcrop", http.MethodPost, "/outcrop/access-requests/"+id+"/approve", "", `{}`)
			if status != http.StatusOK {
				t.Fatalf("approve: %d %s", status, answer)
			}
			return answer
		}
		// The same token with other parameters waits too, and is not made.
		second := regexp.MustCompile(`req-[a-z2-7]{20}`).FindString(want("other parameters", caller, http.MethodPost, made.path, made.other, http.StatusForbidden))
		if second == "" || second == id {
			t.Errorf("other parameters wait as %q", second)
		}
		if answer := approve(id); !strings.Contains(answer, `"APPLIED"`) {
			t.Fatal(answer)
		}
		if answer := approve(second); !strings.Contains(answer, `"FAILED"`) || !strings.Contains(answer, "ConflictException") {
			t.Errorf("other parameters: %s", answer)
		}
		first := create(http.StatusCreated)
		if again := create(http.StatusCreated); again != first {
			t.Errorf("%s and %s", first, again)
		}
		var out map[string]string
		if err := json.Unmarshal([]byte(first), &out); err != nil {
			t.Fatal(err)
		}
		list := want("list", caller, http.MethodGet, made.list, "", http.StatusOK)
		if strings.Count(list, `Name":"prod"`) != 1 || strings.Contains(list, `Name":"other"`) {
			t.Errorf("there are %s", list)
		}
		found := false
		for name, arn := range out {
			found = found || strings.HasSuffix(name, "Arn") && strings.Contains(list, arn)
		}
		if !found {
			t.Errorf("%s is not among %s", first, list)
		}
	}

	// What answers a secret is not kept, and says so.
	admin := iam.NewFromConfig(srv.AWS(srv.Key))
	if _, err := admin.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("approver")}); err == nil || !strings.Contains(err.Error(), "cannot wait") {
		t.Errorf("a key: %v", err)
	}
	if status, answer := rule(`"iam:CreateAccessKey"`); status != http.StatusBadRequest || !strings.Contains(answer, "actions.0") {
		t.Errorf("a rule over keys: %d %s", status, answer)
	}
	status, _, answer := caller.ask(homeRegion, "outcrop", http.MethodGet, "/outcrop/access-requests?state=PENDING", "", "")
	if status != http.StatusOK || strings.Contains(answer, "req-") {
		t.Errorf("there waits %d %s", status, answer)
	}
}
