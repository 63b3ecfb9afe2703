package identity

import (
	"cmp"
	"crypto/sha256"
	"embed"
	"encoding/base32"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/outcrop/outcrop/internal/access/policy"
)

// managedOwner is the account of AWS's own policies.
const managedOwner = "aws"

// managedFiles are the AWS managed policies that are built in: what each permits,
// its version and its times are AWS's; statement names, descriptions and form are
// ours.
//
//go:embed managed/*.json
var managedFiles embed.FS

// managedFile is one of managedFiles.
type managedFile struct {
	Name        string
	Path        string
	Version     string // the only one that is kept, "v10"
	Created     time.Time
	Updated     time.Time
	Description string
	Document    json.RawMessage
}

// loadManaged reads the built-in policies, by ARN.
func loadManaged() (map[string]*Policy, error) {
	files, err := managedFiles.ReadDir("managed")
	if err != nil {
		return nil, err
	}
	byARN := make(map[string]*Policy, len(files))
	for _, f := range files {
		b, err := managedFiles.ReadFile("managed/" + f.Name())
		if err != nil {
			return nil, err
		}
		var m managedFile
		if err := json.Unmarshal(b, &m); err != nil {
			return nil, fmt.Errorf("managed policy %s: %w", f.Name(), err)
		}
		p, err := m.policy()
		if err != nil {
			return nil, fmt.Errorf("managed policy %s: %w", f.Name(), err)
		}
		byARN[p.ARN()] = p
	}
	return byARN, nil
}

func (m *managedFile) policy() (*Policy, error) {
	doc, err := policy.Parse(m.Document, policy.Identity)
	if err != nil {
		return nil, err
	}
	n, err := strconv.Atoi(strings.TrimPrefix(m.Version, "v"))
	if err != nil {
		return nil, err
	}
	p := &Policy{
		Account: managedOwner, Name: m.Name, Path: m.Path, Description: m.Description, Created: m.Created, Updated: m.Updated,
		Default: m.Version, Next: n + 1, Versions: []PolicyVersion{{ID: m.Version, Text: string(m.Document), Created: m.Updated, doc: doc}},
	}
	// AWS's ids are not known; ours are the same in every installation.
	sum := sha256.Sum256([]byte(p.ARN()))
	p.ID = policyPrefix + base32.StdEncoding.EncodeToString(sum[:])[:17]
	return p, nil
}

// ManagedPolicies returns the AWS managed policies that are built in, by name.
func (d *Directory) ManagedPolicies() []*Policy {
	out := make([]*Policy, 0, len(d.managed))
	for _, p := range d.managed {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b *Policy) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
