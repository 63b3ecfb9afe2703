package iam

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/service"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	api "github.com/outcrop/outcrop/internal/wire/awsapi/iam"
)

const (
	// reportLife is how long a credential report is good for. Source: IAM user guide,
	// "Generate credential reports": one at most every four hours.
	reportLife = 4 * time.Hour
	maxReports = 256 // reports in memory, of one account each; the oldest goes first

	notAvailable = "N/A"
	notSupported = "not_supported"
	reportTime   = "2006-01-02T15:04:05+00:00"
)

// reportColumns is the head of a credential report.
var reportColumns = []string{
	"user", "arn", "user_creation_time", "password_enabled", "password_last_used", "password_last_changed", "password_next_rotation", "mfa_active",
	"access_key_1_active", "access_key_1_last_rotated", "access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated", "access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// report is a credential report.
type report struct {
	made time.Time
	csv  []byte
}

// reports keeps the last credential report of each account. They are in memory
// alone: after a restart a caller has to ask for another. It is safe for
// concurrent use.
type reports struct {
	mu  sync.Mutex
	all map[string]report
}

func (r *reports) get(acct string) (report, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.all[acct]
	return v, ok
}

func (r *reports) put(acct string, v report) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.all == nil {
		r.all = make(map[string]report)
	}
	if _, ok := r.all[acct]; !ok && len(r.all) >= maxReports {
		oldest := ""
		for a, old := range r.all {
			if oldest == "" || old.made.Before(r.all[oldest].made) {
				oldest = a
			}
		}
		delete(r.all, oldest)
	}
	r.all[acct] = v
}

func (s *Service) reportRoutes() []service.Route {
	return []service.Route{
		service.Bind(api.OpGenerateCredentialReport, s.generateReport),
		service.Bind(api.OpGetCredentialReport, s.getReport),
	}
}

// generateReport makes a report unless there is one that is younger than four
// hours. As at AWS the first answer says that it was started; here it is done.
func (s *Service) generateReport(ctx context.Context, c *call.Call, _ *api.GenerateCredentialReportInput) (*api.GenerateCredentialReportOutput, error) {
	acct, now := c.Principal.Account, s.dir.Now().UTC()
	old, known := s.reports.get(acct)
	if known && now.Sub(old.made) < reportLife {
		return &api.GenerateCredentialReportOutput{State: new(api.ReportStateTypeComplete)}, nil
	}
	text, err := s.credentialReport(ctx, acct)
	if err != nil {
		return nil, err
	}
	s.reports.put(acct, report{made: now.Truncate(time.Second), csv: text})
	why := "No report exists. Starting a new report generation task"
	if known {
		why = "Report expired. Starting a new report generation task"
	}
	return &api.GenerateCredentialReportOutput{State: new(api.ReportStateTypeStarted), Description: new(why)}, nil
}

func (s *Service) getReport(_ context.Context, c *call.Call, _ *api.GetCredentialReportInput) (*api.GetCredentialReportOutput, error) {
	r, ok := s.reports.get(c.Principal.Account)
	switch {
	case !ok:
		return nil, apierr.New("ReportNotPresent", http.StatusGone, "No report has been generated; use GenerateCredentialReport.")
	case s.dir.Now().Sub(r.made) >= reportLife:
		return nil, apierr.New("ReportExpired", http.StatusGone, "The most recent credential report has expired; use GenerateCredentialReport.")
	}
	return &api.GetCredentialReportOutput{Content: r.csv, ReportFormat: new(api.ReportFormatTypeTextCsv), GeneratedTime: new(r.made)}, nil
}

// credentialReport is the report of an account as CSV: its root, then its users by
// name.
func (s *Service) credentialReport(ctx context.Context, acct string) ([]byte, error) {
	owned, err := s.dir.AccountKeys(ctx, acct)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	w := csv.NewWriter(&b)
	write := func(row []string) { _ = w.Write(row) } // to memory: Flush would tell
	write(reportColumns)
	made := ""
	if a := s.dir.Account(acct); a != nil {
		made = a.Created.UTC().Format(reportTime)
	}
	root := []string{"<root_account>", "arn:aws:iam::" + acct + ":root", made, notSupported, "no_information", notSupported, notSupported, "false"}
	write(append(root, s.keyColumns(owned[""])...))
	for _, u := range s.dir.Users(acct) {
		row := []string{
			u.Name, u.ARN(), u.Created.UTC().Format(reportTime), "false", notAvailable, notAvailable, notAvailable,
			strconv.FormatBool(len(s.dir.UserMFADevices(acct, u.ID)) > 0),
		}
		write(append(row, s.keyColumns(owned[u.ID])...))
	}
	w.Flush()
	if err := w.Error(); err != nil {
		return nil, fmt.Errorf("write credential report: %w", err)
	}
	return b.Bytes(), nil
}

// keyColumns are the columns of two access keys and two signing certificates, of
// which there are none.
func (s *Service) keyColumns(owned []keys.Key) []string {
	var out []string
	for _, k := range owned {
		if k.Kind != keys.SigV4 || len(out) == 10 {
			continue
		}
		used, region, of := notAvailable, notAvailable, notAvailable
		if u := s.dir.KeyUse(k); !u.At.IsZero() {
			used, region, of = u.At.UTC().Format(reportTime), u.Region, u.Service
		}
		out = append(out, strconv.FormatBool(k.Status == keys.Active), k.Created.UTC().Format(reportTime), used, region, of)
	}
	for len(out) < 10 {
		out = append(out, "false", notAvailable, notAvailable, notAvailable, notAvailable)
	}
	return append(out, "false", notAvailable, "false", notAvailable)
}

// absentRoutes answer about what no account here has: passwords, certificates, SSH
// keys. Scripts that clean up behind a user ask for all of them.
func (s *Service) absentRoutes() []service.Route {
	return []service.Route{
		service.Bind(api.OpGetAccountPasswordPolicy, func(_ context.Context, c *call.Call, _ *api.GetAccountPasswordPolicyInput) (*api.GetAccountPasswordPolicyOutput, error) {
			return nil, noEntity("The Password Policy with domain name %s cannot be found.", c.Principal.Account)
		}),
		service.BindResource(api.OpGetLoginProfile, on(func(c *call.Call, in *api.GetLoginProfileInput) string {
			return s.userARN(c, in.UserName)
		}), func(_ context.Context, c *call.Call, in *api.GetLoginProfileInput) (*api.GetLoginProfileOutput, error) {
			u, err := s.userOrCaller(c, in.UserName)
			if err != nil {
				return nil, err
			}
			return nil, noEntity("Login Profile for User %s cannot be found.", u)
		}),
		service.BindResource(api.OpListSSHPublicKeys, on(func(c *call.Call, in *api.ListSSHPublicKeysInput) string {
			return s.userARN(c, in.UserName)
		}), func(_ context.Context, c *call.Call, in *api.ListSSHPublicKeysInput) (*api.ListSSHPublicKeysOutput, error) {
			if _, err := s.userOrCaller(c, in.UserName); err != nil {
				return nil, err
			}
			return &api.ListSSHPublicKeysOutput{SSHPublicKeys: []api.SSHPublicKeyMetadata{}, IsTruncated: new(false)}, nil
		}),
		service.BindResource(api.OpListSigningCertificates, on(func(c *call.Call, in *api.ListSigningCertificatesInput) string {
			return s.userARN(c, in.UserName)
		}), func(_ context.Context, c *call.Call, in *api.ListSigningCertificatesInput) (*api.ListSigningCertificatesOutput, error) {
			if _, err := s.userOrCaller(c, in.UserName); err != nil {
				return nil, err
			}
			return &api.ListSigningCertificatesOutput{Certificates: []api.SigningCertificate{}, IsTruncated: new(false)}, nil
		}),
	}
}

// userOrCaller is the name of a user who exists, the caller when name is nil; ""
// is the root.
func (s *Service) userOrCaller(c *call.Call, name *string) (string, error) {
	n, err := userNamed(c, name)
	if err == nil && n != "" && s.dir.User(c.Principal.Account, n) == nil {
		err = noUser(n)
	}
	return n, err
}

// userOf returns the user of an account with an ARN, or nil.
func (s *Service) userOf(acct, arn string) *identity.User {
	for _, u := range s.dir.Users(acct) {
		if u.ARN() == arn {
			return u
		}
	}
	return nil
}
