package bedrock

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
)

// defaultPage is the size of a page when the caller names none.
const defaultPage = 100

// listProfiles lists the system's profiles in the order of the catalogue, then
// the account's own, oldest first.
func (s *Service) listProfiles(ctx context.Context, c *call.Call, in *br.ListInferenceProfilesInput) (*br.ListInferenceProfilesOutput, error) {
	size := defaultPage
	if in.MaxResults != nil {
		size = int(*in.MaxResults)
	}
	kind := text(in.TypeEquals)
	at, err := readToken(c, kind, text(in.NextToken))
	if err != nil {
		return nil, err
	}
	out := &br.ListInferenceProfilesOutput{InferenceProfileSummaries: []br.InferenceProfileSummary{}}
	add := func(p br.InferenceProfileSummary) {
		out.InferenceProfileSummaries = append(out.InferenceProfileSummaries, p)
	}

	if kind != string(br.InferenceProfileTypeApplication) && !at.application {
		profiles := s.cfg.Catalog.SystemProfiles(c.Region)
		if at.system != "" {
			i := slices.IndexFunc(profiles, func(p catalog.Profile) bool { return p.ID == at.system })
			if i < 0 {
				return nil, badToken() // the catalogue was changed in between
			}
			profiles = profiles[i+1:]
		}
		for i := range profiles {
			if len(out.InferenceProfileSummaries) == size {
				out.NextToken = new(writeToken(c, kind, position{system: profiles[i-1].ID}))
				return out, nil
			}
			add(systemSummary(c, &profiles[i]))
		}
	}
	if kind == string(br.InferenceProfileTypeSystemDefined) {
		return out, nil
	}

	room := size - len(out.InferenceProfileSummaries)
	profiles, err := s.cfg.Profiles.ListProfiles(ctx, profile.Query{
		Account: c.Principal.Account, Region: c.Region, After: at.cursor, Limit: room + 1,
	})
	if err != nil {
		return nil, fmt.Errorf("list inference profiles: %w", err)
	}
	after := at.cursor
	for i := range profiles {
		if i == room {
			out.NextToken = new(writeToken(c, kind, position{application: true, cursor: after}))
			break
		}
		add(applicationSummary(&profiles[i]))
		after = profiles[i].Cursor()
	}
	return out, nil
}

// position is a place in the list of all profiles: behind a system profile, or
// among the account's own.
type position struct {
	system      string // id of the last system profile shown
	application bool   // all system profiles were shown
	cursor      profile.Cursor
}

// The parts that a token may speak of.
const (
	tokenSystem      = "s"
	tokenApplication = "a"
)

// writeToken makes an opaque token: part, place, and a check sum over them and
// over what the list was asked for, so that a token only continues its own list.
// It is no secret and grants nothing: it holds a place, never an account.
func writeToken(c *call.Call, kind string, p position) string {
	body := tokenSystem + p.system
	if p.application {
		body = tokenApplication + p.cursor.Token()
	}
	return base64.RawURLEncoding.EncodeToString([]byte(checkSum(c, kind, body) + body))
}

func readToken(c *call.Call, kind, token string) (position, error) {
	if token == "" {
		return position{}, nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(raw) < checkSize+1 {
		return position{}, badToken()
	}
	sum, body := string(raw[:checkSize]), string(raw[checkSize:])
	if sum != checkSum(c, kind, body) {
		return position{}, badToken()
	}
	if id, ok := strings.CutPrefix(body, tokenSystem); ok {
		return position{system: id}, nil
	}
	cursor, err := profile.ParseToken(strings.TrimPrefix(body, tokenApplication))
	if err != nil {
		return position{}, err
	}
	return position{application: true, cursor: cursor}, nil
}

// checkSize is the length of a token's check sum in bytes.
const checkSize = 8

func checkSum(c *call.Call, kind, body string) string {
	sum := sha256.Sum256([]byte(c.Principal.Account + "\x00" + c.Region + "\x00" + kind + "\x00" + body))
	return string(sum[:checkSize])
}

func badToken() error {
	return apierr.Validation("nextToken: not a token that this operation returned for the same list")
}
