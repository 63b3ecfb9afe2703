package apptest_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/xml"
	"errors"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	"github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"

	"github.com/outcrop/outcrop/internal/access"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/apptest"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/session"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
)

// otherAccount is a second account of a server in tests of keys.
const otherAccount = "222233334444"

// routes is a server and the credentials that its routes are tried with.
type routes struct {
	*apptest.Server
	other    keys.Created // a key of another account
	disabled keys.Created
	bearer   keys.Created
	session  session.Credentials // of the first account's root
	foreign  session.Credentials // of the other account's root
	expired  session.Credentials // ended a second ago
}

func startRoutes(t *testing.T) *routes {
	t.Helper()
	srv := apptest.Start(t)
	r := &routes{
		Server: srv, other: srv.NewKey(t, otherAccount, keys.SigV4),
		disabled: srv.NewKey(t, srv.Account, keys.SigV4), bearer: srv.NewKey(t, srv.Account, keys.Bearer),
	}
	srv.Disable(t, r.disabled.ID)
	// A session is sealed under the root key and stored nowhere, so that one of the
	// past can be made.
	root, err := keys.LoadRootKey(filepath.Join(srv.Data, "root.key"))
	if err != nil {
		t.Fatal(err)
	}
	sessions, err := session.New(session.Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	issue := func(account string, ends time.Duration) session.Credentials {
		now := time.Now().Truncate(time.Second)
		c, err := sessions.Issue(call.Principal{
			Type: call.Root, Account: account, ARN: "arn:aws:iam::" + account + ":root", UserID: account,
			Session: &call.Session{Issued: now.Add(-time.Hour), Expires: now.Add(ends)},
		})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	r.session, r.foreign, r.expired = issue(srv.Account, time.Hour), issue(otherAccount, time.Hour), issue(srv.Account, -time.Second)
	return r
}

// try is one request on its way.
type try struct {
	t    *testing.T
	svc  *awsapi.Service
	op   *awsapi.Operation
	r    *http.Request
	body string
}

// as are the credentials and the scope that a request is signed with.
type as struct {
	id, token       string
	secret          secret.Value
	service, region string
	at              time.Time
	payload         string // of X-Amz-Content-Sha256; "" is the body's hash, not sent
}

func (rs *routes) as(c *try) as {
	a := as{id: rs.Key.ID, secret: rs.Key.Secret, service: c.svc.SigningName, region: "us-east-1", at: time.Now()}
	if c.op.Name == "InvokeModelWithBidirectionalStream" {
		a.payload = "STREAMING-AWS4-HMAC-SHA256-EVENTS" // and its events are signed one by one
	}
	return a
}

func (rs *routes) asSession(c *try, s session.Credentials) as {
	a := rs.as(c)
	a.id, a.secret, a.token = s.AccessKeyID, s.Secret, s.Token
	return a
}

func (a as) credentials() aws.Credentials {
	return aws.Credentials{AccessKeyID: a.id, SecretAccessKey: string(a.secret.Reveal()), SessionToken: a.token}
}

func (a as) hash(c *try) string {
	if a.payload != "" {
		c.r.Header.Set("X-Amz-Content-Sha256", a.payload)
		return a.payload
	}
	sum := sha256.Sum256([]byte(c.body))
	return hex.EncodeToString(sum[:])
}

// header signs in the Authorization header, by the AWS SDK's signer.
func (c *try) header(a as) {
	c.t.Helper()
	if err := v4.NewSigner().SignHTTP(c.t.Context(), a.credentials(), c.r, a.hash(c), a.service, a.region, a.at); err != nil {
		c.t.Fatal(err)
	}
}

// query presigns, by the AWS SDK's signer.
func (c *try) query(a as) {
	c.t.Helper()
	q := c.r.URL.Query()
	q.Set("X-Amz-Expires", "60")
	c.r.URL.RawQuery = q.Encode()
	target, header, err := v4.NewSigner().PresignHTTP(c.t.Context(), a.credentials(), c.r, a.hash(c), a.service, a.region, a.at)
	if err != nil {
		c.t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(c.t.Context(), c.r.Method, target, strings.NewReader(c.body))
	if err != nil {
		c.t.Fatal(err)
	}
	r.Header = header
	for _, name := range []string{"Content-Type", "X-Amz-Target"} {
		if v := c.r.Header.Get(name); v != "" {
			r.Header.Set(name, v)
		}
	}
	c.r = r
}

func (c *try) bearer(token string) { c.r.Header.Set("Authorization", "Bearer "+token) }

// said is what a route answered.
type said struct {
	status int
	code   string
	body   []byte
}

// send sends the request and reads the error's code, in whichever protocol.
func (c *try) send() said {
	c.t.Helper()
	resp, err := http.DefaultClient.Do(c.r)
	if err != nil {
		c.t.Fatalf("%s %s: %v", c.svc.Name, c.op.Name, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("%s %s: %v", c.svc.Name, c.op.Name, err)
	}
	s := said{status: resp.StatusCode, body: b}
	if resp.StatusCode < 300 {
		return s
	}
	var inJSON struct {
		Type string `json:"__type"`
	}
	var inXML struct{ Error struct{ Code string } }
	switch {
	case resp.Header.Get("x-amzn-ErrorType") != "":
		s.code = resp.Header.Get("x-amzn-ErrorType")
	case json.Unmarshal(b, &inJSON) == nil:
		s.code = inJSON.Type
	case xml.Unmarshal(b, &inXML) == nil:
		s.code = inXML.Error.Code
	}
	return s
}

// outcome is what a form of credentials leads to. code "" is: past authentication.
type outcome struct {
	status int
	code   string
}

var (
	passes    = outcome{}
	missing   = outcome{403, "MissingAuthenticationTokenException"}
	malformed = outcome{400, "IncompleteSignatureException"}
	stranger  = outcome{403, "UnrecognizedClientException"}
	wrong     = outcome{403, "InvalidSignatureException"}
	ended     = outcome{403, "ExpiredTokenException"}
	denied    = outcome{403, "AccessDeniedException"}
)

// in is the outcome in the words of a protocol.
func (o outcome) in(s *awsapi.Service) outcome {
	switch s.Protocol {
	case "json": // AWS JSON says all of it with 400
		o.status = 400
	case "query":
		switch o {
		case stranger:
			o.code = "InvalidClientTokenId"
		case wrong:
			o.code = "SignatureDoesNotMatch"
		default:
			o.code = strings.TrimSuffix(o.code, "Exception")
		}
	}
	return o
}

// waysIn are the ways to say who calls.
func (rs *routes) waysIn() []struct {
	name string
	make func(*try)
	want outcome
} {
	changed := func(f func(*as)) func(*try) {
		return func(c *try) {
			a := rs.as(c)
			f(&a)
			c.header(a)
		}
	}
	return []struct {
		name string
		make func(*try)
		want outcome
	}{
		{"none", func(*try) {}, missing},
		{"empty", func(c *try) { c.r.Header.Set("Authorization", "") }, missing},
		{"header", func(c *try) { c.header(rs.as(c)) }, passes},
		{"query", func(c *try) { c.query(rs.as(c)) }, passes},
		{"both", func(c *try) { c.query(rs.as(c)); c.header(rs.as(c)) }, malformed},
		{"bearer", func(c *try) { c.bearer(string(rs.bearer.Secret.Reveal())) }, denied},
		{"wrong bearer", func(c *try) { c.bearer("ABSKQmVkcm9ja0FQSUtleQ") }, denied},
		{"bearer and query", func(c *try) { c.query(rs.as(c)); c.bearer(string(rs.bearer.Secret.Reveal())) }, malformed},
		{"unsigned payload", changed(func(a *as) { a.payload = "UNSIGNED-PAYLOAD" }), wrong},
		{"streamed payload", changed(func(a *as) { a.payload = "STREAMING-UNSIGNED-PAYLOAD-TRAILER" }), wrong},
		{"wrong key", changed(func(a *as) { a.id = "AKIAAAAAAAAAAAAAAAAA" }), stranger},
		{"wrong secret", changed(func(a *as) { a.secret = secret.NewString("wrong") }), wrong},
		{"other account's secret", changed(func(a *as) { a.secret = rs.other.Secret }), wrong},
		{"other account's session token", changed(func(a *as) {
			a.id, a.secret, a.token = rs.session.AccessKeyID, rs.session.Secret, rs.foreign.Token
		}), stranger},
		{"other account's key", changed(func(a *as) { a.id, a.secret = rs.other.ID, rs.other.Secret }), passes},
		{"disabled key", changed(func(a *as) { a.id, a.secret = rs.disabled.ID, rs.disabled.Secret }), stranger},
		{"session", func(c *try) { c.header(rs.asSession(c, rs.session)) }, passes},
		{"expired session", func(c *try) { c.header(rs.asSession(c, rs.expired)) }, ended},
		{"session without its token", changed(func(a *as) { a.id, a.secret = rs.session.AccessKeyID, rs.session.Secret }), stranger},
		{"wrong region", changed(func(a *as) { a.region = "mars" }), wrong},
		{"wrong service", changed(func(a *as) { a.service = "s3" }), wrong},
		{"old signature", changed(func(a *as) { a.at = a.at.Add(-5*time.Minute - time.Second) }), wrong},
	}
}

// TestEveryRouteKnowsItsCaller sends every operation of every API, bound or not,
// to a running server with every form of credentials. What is not good is refused
// in the exact words of its protocol; what is good gets past that.
func TestEveryRouteKnowsItsCaller(t *testing.T) {
	t.Parallel()
	rs := startRoutes(t)
	requests, refused, operations := 0, 0, 0
	for _, svc := range app.Services() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			operations++
			for _, way := range rs.waysIn() {
				c := &try{t: t, svc: svc, op: op}
				c.r, c.body = bare(t, rs.Server, svc, op)
				want := way.want
				switch {
				case way.name == "bearer" && op.Bearer:
					want = passes
				case want == missing && op.NoAuth: // its body is the proof
					want = passes
				case way.name == "query" && svc.Protocol == "json": // a target cannot be presigned
					want = wrong
				}
				way.make(c)
				got := c.send()
				requests++
				name := svc.Name + " " + op.Name + " with " + way.name
				if want == passes {
					o := outcome{got.status, got.code}
					known := way.name == "other account's key" || way.name == "session" // whom organisations and IAM may refuse by their own rules
					if got.status >= 500 && got.status != 501 || got.status == 401 || o == missing.in(svc) || o == wrong.in(svc) || o == ended.in(svc) ||
						o == stranger.in(svc) && !(way.name == "session" && sessionsAreNone(svc)) || o == denied.in(svc) && !known {
						t.Errorf("%s: %d %s %s", name, got.status, got.code, got.body)
					}
					continue
				}
				refused++
				if w := want.in(svc); got.status != w.status || got.code != w.code {
					t.Errorf("%s: %d %s, want %d %s", name, got.status, got.code, w.status, w.code)
				}
			}
		}
	}
	t.Logf("%d operations, %d requests, %d of them refused", operations, requests, refused)
}

// TestEndedSession asks with a session that ended a second ago, through the SDK:
// every API says so in its own word.
func TestEndedSession(t *testing.T) {
	t.Parallel()
	rs := startRoutes(t)
	for name, s := range map[string]session.Credentials{"": rs.session, "expired": rs.expired} {
		cfg := rs.AWS(rs.Key)
		cfg.Credentials = credentials.NewStaticCredentialsProvider(s.AccessKeyID, string(s.Secret.Reveal()), s.Token)
		_, models := bedrock.NewFromConfig(cfg).ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
		_, who := sts.NewFromConfig(cfg).GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
		for want, err := range map[string]error{"ExpiredTokenException": models, "ExpiredToken": who} {
			e, refused := errors.AsType[smithy.APIError](err)
			if name == "" && err != nil || name != "" && (!refused || e.ErrorCode() != want) {
				t.Errorf("%s session: %v, want %s", name, err, want)
			}
		}
	}
}

// sessionsAreNone tells that IAM does not take sessions of GetSessionToken without
// a one-time code.
func sessionsAreNone(s *awsapi.Service) bool { return s.Name == "iam" }

// goodInputs are the inputs of operations that name a thing which has to be there,
// or to be possible, before anything can be decided over it: the value of the path's
// label, and the body.
func goodInputs(profile string) map[string][2]string {
	const model = "amazon.nova-lite-v1:0"
	const arn = "arn:aws:bedrock:us-east-1::foundation-model/" + model
	of := url.QueryEscape(profile)
	router := url.QueryEscape(strings.Split(profile, "application-inference-profile")[0] + "default-prompt-router/anthropic.claude:1")
	return map[string][2]string{
		"bedrock:CreateInferenceProfile":                     {"", `{"inferenceProfileName":"mine","modelSource":{"copyFrom":"` + arn + `"}}`},
		"bedrock:CreateProvisionedModelThroughput":           {"", `{"provisionedModelName":"mine","modelUnits":1,"modelId":"` + arn + `"}`},
		"bedrock:GetInferenceProfile":                        {of, ""},
		"bedrock:CreatePromptRouter":                         {"", `{"promptRouterName":"mine","models":[{"modelArn":"` + arn + `"},{"modelArn":"` + arn + `"}],"fallbackModel":{"modelArn":"` + arn + `"},"routingCriteria":{"responseQualityDifference":1}}`},
		"bedrock:GetPromptRouter":                            {router, ""},
		"bedrock:DeletePromptRouter":                         {router, "{}"},
		"bedrock:DeleteInferenceProfile":                     {of, "{}"},
		"bedrock:GetFoundationModel":                         {model, ""},
		"bedrock:GetResourcePolicy":                          {url.QueryEscape(arn), ""},
		"bedrock:DeleteResourcePolicy":                       {url.QueryEscape(arn), "{}"},
		"bedrock:PutResourcePolicy":                          {"", `{"resourceArn":"` + arn + `","resourcePolicy":"{\"Version\":\"2012-10-17\",\"Statement\":[]}"}`},
		"bedrock:ListTagsForResource":                        {"", `{"resourceARN":"` + profile + `"}`},
		"bedrock:TagResource":                                {"", `{"resourceARN":"` + profile + `","tags":[{"key":"a","value":"b"}]}`},
		"bedrock:UntagResource":                              {"", `{"resourceARN":"` + profile + `","tagKeys":["a"]}`},
		"bedrock-runtime:Converse":                           {model, "{}"},
		"bedrock-runtime:ConverseStream":                     {model, "{}"},
		"bedrock-runtime:InvokeModel":                        {model, "{}"},
		"bedrock-runtime:InvokeModelWithResponseStream":      {model, "{}"},
		"bedrock-runtime:InvokeModelWithBidirectionalStream": {"amazon.nova-sonic-v1:0", ""},
		"bedrock-runtime:CountTokens":                        {model, "{}"},
		"bedrock-runtime:StartAsyncInvoke":                   {"", `{"modelId":"` + model + `","modelInput":{},"outputDataConfig":{"s3OutputDataConfig":{"s3Uri":"s3://b/c"}}}`},
		"bedrock-runtime:GetAsyncInvoke":                     {url.QueryEscape("arn:aws:bedrock:us-east-1:" + keys.DefaultAccount + ":async-invoke/abcdefghij12"), ""},
		"sts:AssumeRole":                                     {"", "Action=AssumeRole&Version=2011-06-15&RoleSessionName=run&RoleArn=arn:aws:iam::" + keys.DefaultAccount + ":role/x"},
		"sts:GetFederationToken":                             {"", "Action=GetFederationToken&Version=2011-06-15&Name=fred"},
	}
}

// TestNothingWithoutPermission sends every operation as a user without any policy.
// Every one is denied, but for the open operations, one exact list.
func TestNothingWithoutPermission(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	client := iam.NewFromConfig(srv.AWS(srv.Key))
	if _, err := client.CreateUser(t.Context(), &iam.CreateUserInput{UserName: aws.String("nobody")}); err != nil {
		t.Fatal(err)
	}
	k, err := client.CreateAccessKey(t.Context(), &iam.CreateAccessKeyInput{UserName: aws.String("nobody")})
	if err != nil {
		t.Fatal(err)
	}
	profile, err := srv.Bedrock().CreateInferenceProfile(t.Context(), &bedrock.CreateInferenceProfileInput{
		InferenceProfileName: aws.String("theirs"),
		ModelSource:          &types.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"},
	})
	if err != nil {
		t.Fatal(err)
	}
	inputs := goodInputs(*profile.InferenceProfileArn)
	rs := &routes{Server: srv}
	rs.Key.ID, rs.Key.Secret = *k.AccessKey.AccessKeyId, secret.NewString(*k.AccessKey.SecretAccessKey)
	count := map[string]int{}
	for _, svc := range app.Services() {
		for i := range svc.Operations {
			op := &svc.Operations[i]
			c := &try{t: t, svc: svc, op: op}
			c.r, c.body = bare(t, srv, svc, op)
			if in, ok := inputs[svc.Name+":"+op.Name]; ok {
				c.body = in[1]
				c.r = aimed(t, srv, svc, op, c.r.Header.Get("Content-Type"), in[0], c.body)
			}
			c.header(rs.as(c))
			got := c.send()
			open := slices.Contains(access.OpenActions(), op.Action)
			switch o := (outcome{got.status, got.code}); {
			case got.status == 501:
				count["not bound"]++
			case o == denied.in(svc) && !open:
				count["denied"]++
			case open && got.status == 200 && op.Name != "AssumeRoleWithWebIdentity":
				count["open"]++
			case open && got.status == 400 && op.Name == "AssumeRoleWithWebIdentity": // it comes without a token
				count["open"]++
			default:
				t.Errorf("%s %s: %d %s %s", svc.Name, op.Name, got.status, got.code, got.body)
			}
		}
	}
	t.Logf("operations asked for by a user without any policy: %v", count)
}

// TestPathsOutsideTheAPIs: of all that is no operation of AWS, a stranger is
// answered on two paths.
func TestPathsOutsideTheAPIs(t *testing.T) {
	t.Parallel()
	srv := apptest.Start(t)
	const get, post = http.MethodGet, http.MethodPost
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{get, "/healthz", 200},
		{get, "/readyz", 200},
		{post, "/healthz", 405},
		{post, "/readyz", 405},
		{get, "/openai/v1/models", 401},
		{post, "/openai/v1/chat/completions", 401},
		{post, "/anthropic/v1/messages", 401},
		{get, "/foundation-models", 403},
		{http.MethodOptions, "/foundation-models", 404},
		{get, "//foundation-models", 404},
		{get, "/healthz/../foundation-models", 400},
		{get, "/healthz/", 404},
		{get, "/", 404},
		{get, "/metrics", 404},
		{get, "/debug/pprof/", 404},
		{get, "/console", 404},
		{get, "/outcrop", 404},
		{get, "/favicon.ico", 404},
		{get, "/latest/meta-data/", 404},
	} {
		r, err := http.NewRequestWithContext(t.Context(), c.method, srv.Endpoint, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Opaque = c.path // as it is
		resp, err := http.DefaultTransport.RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != c.want {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, resp.StatusCode, c.want)
		}
	}
}
