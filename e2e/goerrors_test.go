package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/bedrock"
	bedrocktypes "github.com/aws/aws-sdk-go-v2/service/bedrock/types"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/auth/bearer"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// fails checks that err is the SDK's class E, came with the status and says all
// of words.
func fails[E error](t *testing.T, err error, status int, words ...string) {
	t.Helper()
	if _, ok := errors.AsType[E](err); !ok {
		t.Errorf("error %v is no %T", err, *new(E))
		return
	}
	checkAnswer(t, err, status, words)
}

// failsWith is fails for errors that the SDK does not model.
func failsWith(t *testing.T, err error, code string, status int, words ...string) {
	t.Helper()
	api, ok := errors.AsType[smithy.APIError](err)
	if !ok || api.ErrorCode() != code {
		t.Errorf("error %v is no %s", err, code)
		return
	}
	checkAnswer(t, err, status, words)
}

func checkAnswer(t *testing.T, err error, status int, words []string) {
	t.Helper()
	if resp, ok := errors.AsType[*smithyhttp.ResponseError](err); !ok || resp.HTTPStatusCode() != status {
		t.Errorf("error %v has not status %d", err, status)
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %v does not say %q", err, w)
		}
	}
}

// bearerToken hands out one bearer key.
type bearerToken string

func (b bearerToken) RetrieveBearerToken(context.Context) (bearer.Token, error) {
	return bearer.Token{Value: string(b)}, nil
}

func TestGoSDKErrors(t *testing.T) {
	t.Parallel()
	ctx, c := t.Context(), newGoClients(s.server)
	haiku := aws.String(claudeHaiku)
	converse := func(in *bedrockruntime.ConverseInput) error {
		if in.ModelId == nil {
			in.ModelId = haiku
		}
		if in.Messages == nil {
			in.Messages = ask()
		}
		_, err := c.rt.Converse(ctx, in)
		return err
	}
	invoke := func(model, body string) error {
		_, err := c.rt.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: &model, Body: []byte(body), ContentType: aws.String("application/json")})
		return err
	}
	t.Run("unknown_model", func(t *testing.T) {
		err := converse(&bedrockruntime.ConverseInput{ModelId: aws.String("acme.gpt-0")})
		fails[*types.ValidationException](t, err, 400, "The provided model identifier is invalid.")
		_, err = c.control.GetFoundationModel(ctx, &bedrock.GetFoundationModelInput{ModelIdentifier: aws.String("acme.gpt-0")})
		fails[*bedrocktypes.ResourceNotFoundException](t, err, 404)
	})
	t.Run("body_names_the_key", func(t *testing.T) {
		fails[*types.ValidationException](t, invoke(claudeV2, `{"prompt":"x","max_tokens_to_sample":"many"}`), 400, "max_tokens_to_sample")
		fails[*types.ValidationException](t, invoke(claudeV2, `{"prompt":"x"}`), 400, "max_tokens_to_sample")
		fails[*types.ValidationException](t, invoke(claudeHaiku, `{"anthropic_version":"bedrock-2023-05-31","max_tokens":5,"messages":[],"colour":1}`), 400, "colour")
		fails[*types.ValidationException](t, invoke(titanEmbed2, `{"inputText":"x","dimensions":300}`), 400, "dimensions", "300")
		_, err := c.rt.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: aws.String(titanText), Body: []byte(`{}`), ContentType: aws.String("application/json")})
		fails[*types.ValidationException](t, err, 400, "inputText")
	})
	t.Run("content_type", func(t *testing.T) { // this SDK says application/octet-stream when the program says nothing
		_, err := c.rt.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{ModelId: aws.String(claudeV2), Body: []byte(`{}`)})
		fails[*types.ValidationException](t, err, 400, "The provided Content Type is invalid or not supported for this model")
	})
	t.Run("constraints", func(t *testing.T) {
		fails[*types.ValidationException](t, converse(&bedrockruntime.ConverseInput{InferenceConfig: maxTokens(0)}), 400, "maxTokens")
		fails[*types.ValidationException](t, converse(&bedrockruntime.ConverseInput{InferenceConfig: &types.InferenceConfiguration{TopP: aws.Float32(1.5)}}), 400, "topP")
		fails[*types.ValidationException](t, converse(&bedrockruntime.ConverseInput{RequestMetadata: map[string]string{"a!": "b"}}), 400, "requestMetadata")
		fails[*types.ValidationException](t, converse(&bedrockruntime.ConverseInput{Messages: []types.Message{{Role: "robot", Content: ask()[0].Content}}}), 400, "role")
		_, err := c.control.ListFoundationModels(ctx, &bedrock.ListFoundationModelsInput{ByInferenceType: "SOMETIMES"})
		fails[*bedrocktypes.ValidationException](t, err, 400, "byInferenceType")
	})
	t.Run("input_too_long", func(t *testing.T) {
		long := []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: strings.Repeat("stone ", 9000)}}}}
		err := converse(&bedrockruntime.ConverseInput{Messages: long, InferenceConfig: maxTokens(77)})
		fails[*types.ValidationException](t, err, 400, "Input is too long for requested model", " 77 ", "8192")
	})
	t.Run("too_many_tags", func(t *testing.T) {
		in := &bedrock.CreateInferenceProfileInput{
			InferenceProfileName: aws.String("e2e"),
			ModelSource:          &bedrocktypes.InferenceProfileModelSourceMemberCopyFrom{Value: "arn:aws:bedrock:us-east-1::foundation-model/" + claudeHaiku},
		}
		for i := range 51 {
			in.Tags = append(in.Tags, bedrocktypes.Tag{Key: aws.String(fmt.Sprint("k", i)), Value: aws.String("v")})
		}
		_, err := c.control.CreateInferenceProfile(ctx, in)
		fails[*bedrocktypes.TooManyTagsException](t, err, 400)
	})
	t.Run("not_implemented", func(t *testing.T) {
		_, err := c.control.ListGuardrails(ctx, &bedrock.ListGuardrailsInput{})
		failsWith(t, err, "NotImplementedException", 501, "ListGuardrails")
	})
	t.Run("bearer_in_clear", func(t *testing.T) { // the SDK itself refuses
		clear := newGoClients(s.server, func(c *aws.Config) {
			c.BearerAuthTokenProvider, c.AuthSchemePreference = bearerToken("x"), []string{"httpBearerAuth"}
		})
		if _, err := clear.rt.Converse(ctx, &bedrockruntime.ConverseInput{ModelId: haiku, Messages: ask()}); err == nil || !strings.Contains(err.Error(), "requires HTTPS") {
			t.Errorf("bearer key over http: %v", err)
		}
	})
}

// TestGoSDKRefused calls each service with credentials that are no good.
func TestGoSDKRefused(t *testing.T) {
	t.Parallel()
	for _, v := range []struct {
		name, rest, query string
		change            func(*aws.Config)
	}{
		{"bad_signature", "InvalidSignatureException", "SignatureDoesNotMatch", func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider(s.server.env["AWS_ACCESS_KEY_ID"], strings.Repeat("x", 40), "")
		}},
		{"unknown_key", "UnrecognizedClientException", "InvalidClientTokenId", func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider("AKIAIOSFODNN7EXAMPLE", strings.Repeat("x", 40), "")
		}},
		{"session_token", "UnrecognizedClientException", "InvalidClientTokenId", func(c *aws.Config) {
			c.Credentials = credentials.NewStaticCredentialsProvider(s.server.env["AWS_ACCESS_KEY_ID"], s.server.env["AWS_SECRET_ACCESS_KEY"], "token")
		}},
		{"unsigned", "MissingAuthenticationTokenException", "MissingAuthenticationToken", func(c *aws.Config) {
			c.HTTPClient = unsigned{}
		}},
	} {
		t.Run(v.name, func(t *testing.T) {
			c := newGoClients(s.server, v.change)
			_, err := c.rt.Converse(t.Context(), &bedrockruntime.ConverseInput{ModelId: aws.String(claudeHaiku), Messages: ask()})
			failsWith(t, err, v.rest, 403)
			_, err = c.control.ListFoundationModels(t.Context(), &bedrock.ListFoundationModelsInput{})
			failsWith(t, err, v.rest, 403)
			_, err = c.sts.GetCallerIdentity(t.Context(), &sts.GetCallerIdentityInput{})
			failsWith(t, err, v.query, 403)
		})
	}
}

// unsigned sends requests without their signature.
type unsigned struct{}

func (unsigned) Do(r *http.Request) (*http.Response, error) {
	r.Header.Del("Authorization")
	return http.DefaultClient.Do(r)
}

// A client whose clock is wrong: what it signs is off by some time, and so are
// the Date headers that it reads, seen from its own clock.
type wrongClock struct {
	shift  time.Duration
	signer *v4.Signer
	client http.Client
}

func (w *wrongClock) SignHTTP(ctx context.Context, c aws.Credentials, r *http.Request, hash, service, region string, at time.Time, opts ...func(*v4.SignerOptions)) error {
	return w.signer.SignHTTP(ctx, c, r, hash, service, region, at.Add(w.shift), opts...)
}

func (w *wrongClock) Do(r *http.Request) (*http.Response, error) {
	resp, err := w.client.Do(r)
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		resp.Header.Set("Date", at.Add(-w.shift).UTC().Format(http.TimeFormat))
	}
	return resp, nil
}

// TestGoSDKClock checks that the SDK corrects a wrong clock from the server's
// Date header, and that the refusal arrives where that is switched off.
func TestGoSDKClock(t *testing.T) {
	t.Parallel()
	in := &bedrockruntime.ConverseInput{ModelId: aws.String(smollm), Messages: ask(), InferenceConfig: maxTokens(2)}
	for _, v := range []struct {
		name  string
		shift time.Duration
		words string
	}{{"fast", 10 * time.Minute, "Signature not yet current"}, {"slow", -10 * time.Minute, "Signature expired"}} {
		t.Run(v.name, func(t *testing.T) {
			clock := &wrongClock{shift: v.shift, signer: v4.NewSigner()}
			off := func(o *bedrockruntime.Options) { o.HTTPSignerV4, o.HTTPClient = clock, clock }
			config := newGoClients(s.server).config
			out, err := bedrockruntime.NewFromConfig(config, off).Converse(t.Context(), in)
			if err != nil {
				t.Fatalf("not corrected: %v", err)
			}
			if tries, _ := retry.GetAttemptResults(out.ResultMetadata); *out.Usage.OutputTokens != 2 || len(tries.Results) != 2 {
				t.Errorf("%d tokens after %d attempts, want 2 and 2", *out.Usage.OutputTokens, len(tries.Results))
			}
			config.DisableClockSkewCorrection = true
			_, err = bedrockruntime.NewFromConfig(config, off).Converse(t.Context(), in)
			failsWith(t, err, "InvalidSignatureException", 403, v.words)
		})
	}
}
