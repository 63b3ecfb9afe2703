package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// maxAnswer bounds what is read of one answer of the server.
const maxAnswer = 16 << 20

// apiClient calls a running server as the caller of this shell.
type apiClient struct {
	http     *http.Client
	endpoint string
	cred     sigv4.Credentials
	region   string
}

// newAPIClient uses the credentials of the environment (AWS_ACCESS_KEY_ID, ...), or
// the installation's own root key when there are none.
func newAPIClient(ctx context.Context, std IO, l *Local) (*apiClient, error) {
	client, err := httpClient(l.CAFile)
	if err != nil {
		return nil, err
	}
	c := &apiClient{http: client, endpoint: l.Endpoint, region: std.getenv("AWS_REGION")}
	if c.region == "" {
		c.region = l.Region
	}
	if id := std.getenv("AWS_ACCESS_KEY_ID"); id != "" {
		c.cred = sigv4.Credentials{AccessKeyID: id, Secret: secret.NewString(std.getenv("AWS_SECRET_ACCESS_KEY")), SessionToken: std.getenv("AWS_SESSION_TOKEN")}
		return c, nil
	}
	own, err := ownKey(ctx, l)
	if err != nil {
		return nil, err
	}
	c.cred = sigv4.Credentials{AccessKeyID: own.AccessKeyID, Secret: secret.NewString(own.Secret)}
	return c, nil
}

// withAPI opens the installation and a client of its server, and runs f.
func withAPI(ctx context.Context, std IO, p Program, o *Options, f func(*apiClient) error) error {
	return with(ctx, p, o, func(l *Local) error {
		c, err := newAPIClient(ctx, std, l)
		if err != nil {
			return err
		}
		return f(c)
	})
}

// send signs a request for an AWS service and returns the body of its answer.
func (c *apiClient) send(ctx context.Context, service, method, path, contentType string, body []byte) ([]byte, error) {
	resp, err := c.open(ctx, service, method, path, contentType, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return nil, fmt.Errorf("read the server's answer: %w", err)
	}
	return b, nil
}

// open signs a request for an AWS service and returns its answer when that is no
// error. The caller closes its body.
func (c *apiClient) open(ctx context.Context, service, method, path, contentType string, body []byte) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.endpoint+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("address the server: %w", err)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", contentType)
	}
	if err := sigv4.Sign(r, body, c.cred, c.region, service, time.Now()); err != nil {
		return nil, fmt.Errorf("sign the request: %w", err)
	}
	resp, err := c.http.Do(r)
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return nil, fmt.Errorf("no server answers on %s; start one with: outcrop serve (%w)", c.endpoint, op)
	}
	if err != nil {
		return nil, fmt.Errorf("talk to the server: %w", err)
	}
	if resp.StatusCode >= http.StatusBadRequest {
		defer resp.Body.Close()
		if service == "sts" {
			return nil, queryError(resp)
		}
		return nil, serverError(resp)
	}
	return resp, nil
}

// call calls an operation of Outcrop's own API. in and out may be nil.
func (c *apiClient) call(ctx context.Context, method, path string, in, out any) error {
	var body []byte
	if in != nil {
		var err error
		if body, err = json.Marshal(in); err != nil {
			return fmt.Errorf("encode the request: %w", err)
		}
	}
	b, err := c.send(ctx, "outcrop", method, path, "application/json", body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(b, out); err != nil {
		return fmt.Errorf("the server's answer is not what this version knows: %w", err)
	}
	return nil
}

// prove exchanges the client's credentials for a session with a one-time code.
func (c *apiClient) prove(ctx context.Context, serial, code string) error {
	form := url.Values{
		"Action": {"GetSessionToken"}, "Version": {"2011-06-15"}, "SerialNumber": {serial}, "TokenCode": {code},
		"DurationSeconds": {strconv.Itoa(900)},
	}
	b, err := c.send(ctx, "sts", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return err
	}
	var answer struct {
		Credentials struct {
			AccessKeyID     string `xml:"AccessKeyId"`
			SecretAccessKey string
			SessionToken    string
		} `xml:"GetSessionTokenResult>Credentials"`
	}
	if err := xml.Unmarshal(b, &answer); err != nil || answer.Credentials.SessionToken == "" {
		return errors.New("the server's answer holds no session")
	}
	c.cred = sigv4.Credentials{AccessKeyID: answer.Credentials.AccessKeyID, Secret: secret.NewString(answer.Credentials.SecretAccessKey), SessionToken: answer.Credentials.SessionToken}
	return nil
}

// queryError is what a query service said.
func queryError(resp *http.Response) error {
	var m struct {
		Error struct{ Code, Message string }
	}
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if err != nil || xml.Unmarshal(b, &m) != nil || m.Error.Code == "" {
		return fmt.Errorf("the server answers %s", resp.Status)
	}
	return fmt.Errorf("%s: %s", m.Error.Code, strings.TrimSpace(m.Error.Message))
}

// account asks whose account the client calls from.
func (c *apiClient) account(ctx context.Context) (string, error) {
	form := url.Values{"Action": {"GetCallerIdentity"}, "Version": {"2011-06-15"}}
	b, err := c.send(ctx, "sts", http.MethodPost, "/", "application/x-www-form-urlencoded", []byte(form.Encode()))
	if err != nil {
		return "", err
	}
	var answer struct {
		Account string `xml:"GetCallerIdentityResult>Account"`
	}
	if err := xml.Unmarshal(b, &answer); err != nil || answer.Account == "" {
		return "", errors.New("the server's answer names no account")
	}
	return answer.Account, nil
}
