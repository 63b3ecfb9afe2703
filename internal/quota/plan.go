package quota

// limit is the value of one quota. set is false for one that nobody set.
type limit struct {
	Value, Burst int64
	set          bool
	regional     bool // of one region; else of all regions together
}

// plan is every quota of an account for a model.
type plan struct {
	whole    [kinds]limit            // of the account
	each     [kinds]limit            // of each principal by itself
	subjects map[string][kinds]limit // of principals and profiles that were named
}

// plan returns what bounds calls of an account to a model.
func (s *Service) plan(k planKey) *plan {
	now := s.now.Load()
	if !now.regions[k.region] {
		k.region = "" // as every region that no setting names
	}
	now.mu.RLock()
	p := now.plans[k]
	now.mu.RUnlock()
	if p != nil {
		return p
	}
	p = now.plan(k)
	now.mu.Lock()
	if len(now.plans) < maxPlans {
		now.plans[k] = p
	}
	now.mu.Unlock()
	return p
}

// plan finds for each quota the setting that is most about it.
func (n *snapshot) plan(k planKey) *plan {
	p := &plan{}
	best := map[string]*[kinds]int{}
	limits := map[string]*[kinds]limit{}
	for _, s := range n.settings {
		rank := s.rank(k)
		if rank == 0 {
			continue
		}
		if best[s.Subject] == nil {
			best[s.Subject], limits[s.Subject] = &[kinds]int{}, &[kinds]limit{}
		}
		if i := s.Kind.index(); rank > best[s.Subject][i] {
			best[s.Subject][i] = rank
			limits[s.Subject][i] = limit{s.Value, burstOf(s.Value, s.Burst), true, s.Region != ""}
		}
	}
	for subject, l := range limits {
		switch subject {
		case "":
			p.whole = *l
		case Everyone:
			p.each = *l
		default:
			if p.subjects == nil {
				p.subjects = map[string][kinds]limit{}
			}
			p.subjects[subject] = *l
		}
	}
	for i, kind := range Kinds() {
		if !p.whole[i].set {
			v := Shipped(kind)
			p.whole[i] = limit{Value: v, Burst: burstOf(v, 0)}
		}
	}
	for _, pair := range [...]struct{ minute, day Kind }{{Requests, RequestsDay}, {Tokens, TokensDay}} {
		minute, day := p.whole[pair.minute.index()].Value, &p.whole[pair.day.index()]
		if !day.set {
			day.Value = min(minute*minutesOfDay, MaxValue)
			if minute == Unlimited {
				day.Value = Unlimited
			}
		}
	}
	return p
}

// principal are the quotas of one principal; its own win over those of each.
func (p *plan) principal(subject string) [kinds]limit {
	out := p.each
	if own, ok := p.subjects[subject]; ok {
		for i := range own {
			if own[i].set {
				out[i] = own[i]
			}
		}
	}
	return out
}

// rank tells how much a setting is about k; 0 is not at all.
func (s *Setting) rank(k planKey) int {
	rank := 1
	for _, part := range [...]struct {
		set, is string
		weight  int
	}{{s.Account, k.account, 8}, {s.Model, k.model, 4}, {s.Region, k.region, 2}} {
		switch part.set {
		case "":
		case part.is:
			rank += part.weight
		default:
			return 0
		}
	}
	return rank
}
