package main

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/outcrop/outcrop/bench/internal/stats"
	"github.com/outcrop/outcrop/internal/app"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/scripted"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/secret"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/sigv4"
)

// accessRun measures what policies cost a call: the same call by the root of the
// account, who needs none, and by a user with fifty, in turn.
type accessRun struct {
	rounds int
	count  int // Converse calls of each caller in a round
	load   func(context.Context, plan) (outcome, error)
	patient
}

// The user has as many policies as IAM lets one user have of its own by default,
// and those of four groups.
const (
	ownPolicies   = 10
	groups        = 4
	groupPolicies = 10
)

// policyOf is one of the fifty: three statements with wildcards, a condition and a
// variable. The last of them is the one that allows the call.
func policyOf(i int) string {
	resource := fmt.Sprintf("arn:aws:bedrock:*::foundation-model/provider%d.*", i)
	if i == ownPolicies+groups*groupPolicies-1 {
		resource = "arn:aws:bedrock:*::foundation-model/*"
	}
	return fmt.Sprintf(`{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["bedrock:InvokeModel*","bedrock:List*"],"Resource":"%s"},
		{"Effect":"Deny","Action":"bedrock:*","Resource":"*","Condition":{"StringLike":{"aws:PrincipalTag/team":"locked-%d-*"}}},
		{"Effect":"Allow","Action":"bedrock:*","Resource":"arn:aws:bedrock:*:*:application-inference-profile/${aws:username}-%d*","Condition":{"IpAddress":{"aws:SourceIp":"10.%d.0.0/16"}}}]}`,
		resource, i, i, i)
}

func (a accessRun) measure(ctx context.Context, s *section) (err error) {
	eng := scripted.New(scripted.Reply{Deltas: scripted.Split("the quick brown fox jumps over the lazy dog and"), Endless: true})
	srv, err := startProduct(ctx, app.Config{}, func(app.Config, *catalog.Catalog, *weights.Store) (engine.Engine, error) { return eng, nil })
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, srv.stop()) }()
	user, err := srv.governed(ctx)
	if err != nil {
		return err
	}
	root := gatewayBench{gatewayRun: gatewayRun{load: a.load}, srv: srv}
	bound := gatewayBench{gatewayRun: gatewayRun{load: a.load}, srv: &product{address: srv.address, creds: user}}
	round := func() ([]float64, error) {
		var p50 [2]float64
		for i, b := range []*gatewayBench{&root, &bound} {
			p, err := b.plan("converse", 1, a.count, replyTokens)
			if err != nil {
				return nil, err
			}
			o, err := b.load(ctx, p)
			if err != nil {
				return nil, err
			}
			p50[i] = o.P50
		}
		return p50[:], nil
	}
	if _, err := round(); err != nil { // warm-up
		return err
	}
	rounds, err := take(ctx, &a.patient, a.rounds, func() ([]float64, float64, error) {
		before := look()
		v, err := round()
		return v, foreign(before, look()), err
	})
	if err != nil {
		return err
	}
	var without, with, added []float64
	for _, r := range rounds.values {
		without, with, added = append(without, r[0]), append(with, r[1]), append(added, r[1]-r[0])
	}
	s.Note = "Converse over one connection, the two callers in turn; median of rounds, " + rounds.String() + "."
	s.Add(figure{Name: "latency p50 of the account's root, without policies", Unit: "µs", Value: stats.Median(without)})
	s.Add(figure{Name: "latency p50 of a user with 50 policies of three statements", Unit: "µs", Value: stats.Median(with)})
	f := figure{Name: "added by the policies, p50", Unit: "µs", Value: stats.Median(added), Bound: 60}
	if len(added) >= 5 {
		f.Interval = new(stats.Interval(added))
	}
	s.Add(f)
	return nil
}

// governed makes the user with fifty policies, by the IAM API, and returns a key
// of it.
func (p *product) governed(ctx context.Context) (sigv4.Credentials, error) {
	var none sigv4.Credentials
	if err := p.iam(ctx, "CreateUser", nil, "UserName", "bench"); err != nil {
		return none, err
	}
	n := 0
	attach := func(operation, kind, name string, count int) error {
		for range count {
			policy := fmt.Sprintf("p%d", n)
			if err := p.iam(ctx, "CreatePolicy", nil, "PolicyName", policy, "PolicyDocument", policyOf(n)); err != nil {
				return err
			}
			if err := p.iam(ctx, operation, nil, kind, name, "PolicyArn", "arn:aws:iam::"+keys.DefaultAccount+":policy/"+policy); err != nil {
				return err
			}
			n++
		}
		return nil
	}
	if err := attach("AttachUserPolicy", "UserName", "bench", ownPolicies); err != nil {
		return none, err
	}
	for i := range groups {
		name := fmt.Sprintf("g%d", i)
		if err := p.iam(ctx, "CreateGroup", nil, "GroupName", name); err != nil {
			return none, err
		}
		if err := p.iam(ctx, "AddUserToGroup", nil, "GroupName", name, "UserName", "bench"); err != nil {
			return none, err
		}
		if err := attach("AttachGroupPolicy", "GroupName", name, groupPolicies); err != nil {
			return none, err
		}
	}
	var made struct {
		Key struct {
			ID     string `xml:"AccessKeyId"`
			Secret string `xml:"SecretAccessKey"`
		} `xml:"CreateAccessKeyResult>AccessKey"`
	}
	if err := p.iam(ctx, "CreateAccessKey", &made, "UserName", "bench"); err != nil {
		return none, err
	}
	return sigv4.Credentials{AccessKeyID: made.Key.ID, Secret: secret.NewString(made.Key.Secret)}, nil
}

// iam calls an operation of IAM with parameters in pairs.
func (p *product) iam(ctx context.Context, operation string, out any, pairs ...string) error {
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
	if err := sigv4.Sign(r, []byte(body), p.creds, keys.DefaultRegion, "iam", time.Now()); err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	client := http.Client{Timeout: 10 * time.Second}
	resp, err := client.Do(r)
	if err != nil {
		return fmt.Errorf("%s: %w", operation, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s %s: %w", operation, resp.Status, b, err)
	}
	if out == nil {
		return nil
	}
	return xml.Unmarshal(b, out)
}
