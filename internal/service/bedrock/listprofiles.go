package bedrock

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/wire/apierr"
	br "github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/page"
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

// listOf stands for a list that a caller asked for: its tokens go on with no other.
func listOf(c *call.Call, kind string) string {
	return c.Principal.Account + "\x00" + c.Region + "\x00" + kind
}

// writeToken makes an opaque token of a part and a place in it.
func writeToken(c *call.Call, kind string, p position) string {
	place := tokenSystem + p.system
	if p.application {
		place = tokenApplication
		if !p.cursor.IsZero() {
			place += page.Moment(p.cursor.Created, p.cursor.ID)
		}
	}
	return page.Token(listOf(c, kind), place)
}

func readToken(c *call.Call, kind, token string) (position, error) {
	place, err := page.Place(listOf(c, kind), token)
	if err != nil {
		return position{}, badToken()
	}
	if id, ok := strings.CutPrefix(place, tokenSystem); ok {
		return position{system: id}, nil
	}
	switch rest, ok := strings.CutPrefix(place, tokenApplication); {
	case !ok: // no token at all
		return position{}, nil
	case rest == "":
		return position{application: true}, nil
	default:
		made, id, err := page.ReadMoment(rest)
		if err != nil {
			return position{}, badToken()
		}
		return position{application: true, cursor: profile.Cursor{Created: made, ID: id}}, nil
	}
}

func badToken() error {
	return apierr.Validation("nextToken: not a token that this operation returned for the same list")
}
