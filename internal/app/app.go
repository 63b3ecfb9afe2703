// Package app is the composition root: it turns a configuration into a running
// server. It is the only importer of adapters.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/outcrop/outcrop/internal/agreement"
	"github.com/outcrop/outcrop/internal/cache"
	"github.com/outcrop/outcrop/internal/call"
	"github.com/outcrop/outcrop/internal/catalog"
	"github.com/outcrop/outcrop/internal/datadir"
	"github.com/outcrop/outcrop/internal/document"
	"github.com/outcrop/outcrop/internal/edge/admin"
	"github.com/outcrop/outcrop/internal/edge/gateway"
	"github.com/outcrop/outcrop/internal/edge/metrics"
	"github.com/outcrop/outcrop/internal/embedfit"
	"github.com/outcrop/outcrop/internal/engine"
	"github.com/outcrop/outcrop/internal/engine/llamacpp"
	"github.com/outcrop/outcrop/internal/family"
	"github.com/outcrop/outcrop/internal/family/ai21"
	"github.com/outcrop/outcrop/internal/family/anthropic"
	"github.com/outcrop/outcrop/internal/family/cohere"
	"github.com/outcrop/outcrop/internal/family/converse"
	"github.com/outcrop/outcrop/internal/family/llama"
	"github.com/outcrop/outcrop/internal/family/mistral"
	"github.com/outcrop/outcrop/internal/family/nova"
	"github.com/outcrop/outcrop/internal/family/openai"
	"github.com/outcrop/outcrop/internal/family/sonic"
	"github.com/outcrop/outcrop/internal/family/stability"
	"github.com/outcrop/outcrop/internal/family/titan"
	"github.com/outcrop/outcrop/internal/fault"
	"github.com/outcrop/outcrop/internal/idempotency"
	"github.com/outcrop/outcrop/internal/identity"
	"github.com/outcrop/outcrop/internal/inference"
	"github.com/outcrop/outcrop/internal/jobs"
	"github.com/outcrop/outcrop/internal/keys"
	"github.com/outcrop/outcrop/internal/meter"
	objectfs "github.com/outcrop/outcrop/internal/object/fs"
	"github.com/outcrop/outcrop/internal/picture"
	"github.com/outcrop/outcrop/internal/profile"
	"github.com/outcrop/outcrop/internal/promptrouter"
	"github.com/outcrop/outcrop/internal/provision"
	"github.com/outcrop/outcrop/internal/quota"
	"github.com/outcrop/outcrop/internal/resource"
	"github.com/outcrop/outcrop/internal/service"
	analyzersvc "github.com/outcrop/outcrop/internal/service/accessanalyzer"
	bedrocksvc "github.com/outcrop/outcrop/internal/service/bedrock"
	runtimesvc "github.com/outcrop/outcrop/internal/service/bedrockruntime"
	iamsvc "github.com/outcrop/outcrop/internal/service/iam"
	organizationssvc "github.com/outcrop/outcrop/internal/service/organizations"
	outcropsvc "github.com/outcrop/outcrop/internal/service/outcrop"
	quotassvc "github.com/outcrop/outcrop/internal/service/servicequotas"
	"github.com/outcrop/outcrop/internal/store"
	"github.com/outcrop/outcrop/internal/store/sqlite"
	"github.com/outcrop/outcrop/internal/weights"
	"github.com/outcrop/outcrop/internal/wire/awsapi"
	"github.com/outcrop/outcrop/internal/wire/awsapi/accessanalyzer"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrock"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagent"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockagentruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/bedrockruntime"
	"github.com/outcrop/outcrop/internal/wire/awsapi/iam"
	"github.com/outcrop/outcrop/internal/wire/awsapi/organizations"
	"github.com/outcrop/outcrop/internal/wire/awsapi/outcrop"
	"github.com/outcrop/outcrop/internal/wire/awsapi/servicequotas"
	"github.com/outcrop/outcrop/internal/wire/awsapi/sts"
)

// Services are the APIs that the gateway routes, bound or not.
func Services() []*awsapi.Service {
	return []*awsapi.Service{
		&bedrock.Model, &bedrockruntime.Model, &bedrockagent.Model, &bedrockagentruntime.Model,
		&iam.Model, &sts.Model, &organizations.Model, &accessanalyzer.Model, &servicequotas.Model,
		&outcrop.Model,
	}
}

// Families are the native bodies that InvokeModel reads.
func Families() family.Registry {
	return family.NewRegistry(
		ai21.Family{},
		anthropic.Family{},
		cohere.Family{},
		llama.Family{},
		mistral.Family{},
		nova.Family{},
		openai.Family{},
		stability.Family{},
		titan.Family{},
	)
}

// state is what an installation keeps, open.
type state struct {
	cfg     Config
	store   store.Store
	root    *keys.RootKey
	keys    *keys.Service
	weights *weights.Store
	catalog *catalog.Catalog

	directory *identity.Directory
	profiles  *profile.Cache
	routers   *promptrouter.Service

	provisioned *provision.Book
}

// databaseFile is the name of the database in the data directory. It is made
// after the root key.
const databaseFile = "outcrop.db"

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// open opens the data directory of a configuration, and makes it on first use.
func open(ctx context.Context, cfg Config, log *slog.Logger) (*state, error) {
	if err := datadir.Create(cfg.DataDir); err != nil {
		return nil, err
	}
	rootFile, database := filepath.Join(cfg.DataDir, keys.RootKeyFile), filepath.Join(cfg.DataDir, databaseFile)
	if !exists(rootFile) && exists(database) { // a new root key would open none of its secrets
		return nil, fmt.Errorf("%s is missing: restore it from a backup; without it none of the keys in %s can be used", rootFile, database)
	}
	protection, err := cfg.RootKey.protection()
	if err != nil {
		return nil, err
	}
	root, err := keys.OpenRootKey(ctx, rootFile, protection)
	if err != nil {
		return nil, err
	}
	db, err := sqlite.Open(ctx, sqlite.Config{Path: database})
	if err != nil {
		return nil, err
	}
	s := &state{cfg: cfg, store: db, root: root}
	s.keys = keys.New(keys.Config{Store: db, Root: root})
	if s.directory, err = openDirectory(ctx, s, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	if err := s.models(ctx, log); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return s, nil
}

// models opens the model store and reads the catalogue over it.
func (s *state) models(ctx context.Context, log *slog.Logger) error {
	var err error
	if s.weights, err = newWeights(s.cfg); err != nil {
		return err
	}
	s.profiles = profile.NewCache(s.store)
	if s.routers, err = promptrouter.Open(ctx, promptrouter.Config{Records: s.store, Log: log}); err != nil {
		return err
	}
	if s.provisioned, err = provision.Open(ctx, provision.Config{Records: s.store, Units: s.cfg.ProvisionedUnits, Together: len(s.cfg.Regions) == 0}); err != nil {
		return err
	}
	s.catalog, err = catalog.New(catalog.Options{
		File: s.cfg.Catalog, StandIns: *s.cfg.StandIns, Profiles: catalog.StoredProfiles(s.profiles), Provisioned: s.provisioned,
		Routers: s.routers, Regions: s.cfg.Regions,
		Local: func(known func(string) bool) ([]catalog.Local, error) { return localWeights(s.weights, known, log) },
	})
	if err == nil {
		s.cfg.grantCatalog(s.catalog.Weights())
	}
	return err
}

// Server is a composed server. New starts nothing; Run serves.
type Server struct {
	cfg     Config
	state   *state
	engine  engine.Engine
	objects *objectfs.Store
	meter   *meter.Writer
	tokens  *idempotency.Service
	gateway *gateway.Gateway
	jobs    *jobs.Runner
	front   *front
	unlock  func() error
	log     *slog.Logger
	calls   *calls

	resources  *resource.Book
	workloads  *workloads
	agreements *agreement.Service
	faults     *fault.Rules
	quotas     *quota.Service
	caches     *cache.Gate // nil when all of them are off
	shared     *shared
	buckets    quota.Buckets
	renew      func(context.Context) error // of buckets
	authority  *authority

	ready    atomic.Bool // everything is installed
	draining atomic.Bool // a stop was asked for
}

// New composes a server on an engine and takes its data directory and port. The
// caller must call Run or Close.
//
// newEngine makes the engine once the weights are known; nil means llama.cpp.
func New(ctx context.Context, cfg Config, log *slog.Logger, newEngine func(Config, *catalog.Catalog, *weights.Store) (engine.Engine, error)) (_ *Server, err error) {
	s := &Server{log: log, calls: newCalls()}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.cfg, err = cfg.withDefaults(); err != nil {
		return nil, err
	}
	if err := datadir.Create(s.cfg.DataDir); err != nil {
		return nil, err
	}
	if s.unlock, err = datadir.Lock(s.cfg.DataDir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	// The port comes before anything slow: a second start says so at once.
	if err := s.cfg.connect(s.log); err != nil {
		return nil, err
	}
	if s.front, err = openFront(s.cfg, s.cfg.record, s.log); err != nil {
		return nil, err
	}
	if s.state, err = open(ctx, s.cfg, s.log); err != nil {
		return nil, err
	}
	if s.objects, err = objectfs.Open(objectsDir(s.cfg)); err != nil {
		return nil, err
	}
	if s.resources, err = openResources(ctx, s.state, s.state.directory.Announce, s.log); err != nil {
		return nil, err
	}
	if s.agreements, err = openAgreements(ctx, s.state.store, s.cfg.Account, s.log); err != nil {
		return nil, err
	}
	if s.faults, err = fault.Open(ctx, fault.Config{Records: s.state.store, Log: s.log}); err != nil {
		return nil, err
	}
	if s.quotas, err = openQuotas(ctx, s.state.store, s.log); err != nil {
		return nil, err
	}
	if s.shared, err = s.cfg.openShared(ctx, s.log); err != nil {
		return nil, err
	}
	s.buckets, s.renew = s.shared.buckets()
	if s.authority, err = s.newAuthority(ctx); err != nil {
		return nil, err
	}
	if s.workloads, err = openWorkloads(s.cfg.Workloads, s.cfg.region(), s.authority.sts, s.log); err != nil {
		return nil, err
	}
	if newEngine == nil {
		newEngine = newLlamaCpp(s.log)
	}
	if s.engine, err = newEngine(s.cfg, s.state.catalog, s.state.weights); err != nil {
		return nil, err
	}
	if s.engine, err = s.withUpstreams(s.engine); err != nil {
		return nil, err
	}
	var book *metrics.Book // nil when nobody could read it
	if s.front.metrics() {
		book = metrics.New(metrics.Config{Running: s.calls.running, Engine: reporter(s.engine)})
	}
	h, err := s.handler(book)
	if err != nil {
		return nil, err
	}
	s.front.handle(s.calls.count(h), book)
	return s, nil
}

// objectsDir is where the objects of all accounts lie.
func objectsDir(cfg Config) string { return filepath.Join(cfg.DataDir, "objects") }

// handler builds the one way from a request to an answer.
func (s *Server) handler(book *metrics.Book) (http.Handler, error) {
	st := s.state
	var ended func(*call.Call, time.Duration)
	if book != nil {
		ended = book.Ended
	}
	s.meter = meter.NewWriter(meter.Config{Store: st.store, Strict: s.cfg.Usage.Strict, Log: s.log})
	s.tokens = idempotency.NewService(idempotency.Config{Store: st.store, Log: s.log})
	infer, err := s.gate(inference.New(inference.Config{
		Engine: s.engine, Fit: &embedfit.Fitter{}, MaxContext: s.cfg.Engine.MaxContext,
		Documents: document.New(document.Limits{Command: s.cfg.DocumentReader}),
		Pictures:  picture.New(picture.Limits{}),
		Canvas:    picture.NewCanvas(picture.Limits{}),
		Objects:   s.objects,
	}))
	if err != nil {
		return nil, err
	}
	g, err := gateway.New(gateway.Config{
		Services:    Services(),
		Routes:      s.routes(infer),
		Direct:      directRoutes(st.catalog, infer),
		Callers:     s.authority.callers,
		Access:      s.authority.access,
		Changed:     st.directory.Changed,
		Approvals:   s.authority.approvals,
		Ended:       ended,
		Used:        st.directory.Used,
		Acted:       st.directory.Acted,
		Meter:       s.meter,
		Idempotency: s.tokens,
		TLS:         s.cfg.TLS.On(),
		Regions:     s.cfg.Regions,

		BodyBudget:   s.cfg.Limits.Bodies,
		WriteTimeout: s.cfg.Limits.Write,
		Log:          s.log,
	})
	if err != nil {
		return nil, err
	}
	s.gateway = g
	return admin.Handler(s.isReady, g), nil
}

// routes are the operations that are served. A new service is one line here and
// one in Services.
func (s *Server) routes(infer agreement.Gate) []service.Route {
	st := s.state
	runtime := runtimesvc.New(runtimesvc.Config{
		Catalog: st.catalog, Inference: infer, Families: Families(), Converse: converse.Codec{}, Dialogs: sonic.Codec{}, StrictParity: s.cfg.StrictParity,
		Access: s.agreements,
		Async:  runtimesvc.Async{Jobs: st.store, Wake: func() { s.jobs.Wake() }, Objects: s.objects, Meter: s.meter, Tags: s.resources},
	})
	s.jobs = jobs.NewRunner(jobs.Config{
		Store: st.store, Handlers: map[string]jobs.Handler{runtimesvc.AsyncKind: runtime.RunAsync}, Failure: runtimesvc.Failure, Log: s.log,
		Alone: true, // the lock of the data directory says so
	})
	var all []service.Route
	for _, svc := range []interface{ Routes() []service.Route }{
		bedrocksvc.New(bedrocksvc.Config{
			Catalog: st.catalog, Profiles: st.profiles, Resources: s.resources, Agreements: s.agreements, Routers: st.routers, Throughputs: st.provisioned, May: s.may, Locks: s.locks, Accepted: st.weights.Accepted,
		}),
		runtime,
		s.authority.sts,
		iamsvc.New(iamsvc.Config{Directory: st.directory}),
		organizationssvc.New(st.directory),
		outcropsvc.New(outcropsvc.Config{
			Approvals: s.authority.approvals, Directory: st.directory, Sessions: s.authority.sessions, Apply: s.apply,
			Analyzer: s.authority.analyzer, Agreements: s.agreements, Catalog: st.catalog,
			Faults: s.faults, Processes: reporter(s.engine),
		}),
		quotassvc.New(quotassvc.Config{Quotas: s.quotas, Models: st.catalog}),
		analyzersvc.New(analyzersvc.Config{Analyzer: s.authority.analyzer, Registry: s.authority.registry, Tags: s.resources}),
	} {
		all = append(all, svc.Routes()...)
	}
	return all
}

// Endpoint is the address for clients, e.g. "http://127.0.0.1:8686".
func (s *Server) Endpoint() string { return s.front.endpoint() }

// Keys gives access to the server's keys.
func (s *Server) Keys() *keys.Service { return s.state.keys }

// Agreements gives access to who may use which model.
func (s *Server) Agreements() *agreement.Service { return s.agreements }

// Install brings the engine and the default models to this machine. It does
// nothing when they are there.
func (s *Server) Install(ctx context.Context, p weights.Progress) error {
	return install(ctx, s.cfg, s.state.catalog, s.state.weights, p)
}

// EngineHost is the installed engine that the server runs its models on.
func (s *Server) EngineHost(ctx context.Context) (llamacpp.Host, error) {
	return llamacpp.Discover(s.cfg.Engine.Command, newEngineInstaller(s.cfg, weights.Silent)).Engine(ctx)
}

// WeightsFile is the path of the installed file of some weights; false when
// they are not installed.
func (s *Server) WeightsFile(id string) (string, bool) { return s.state.weights.Path(id) }

// Run serves until ctx ends, then drains: running calls may finish, the engine
// stops, what is metered is stored. install runs beside the server and makes it
// ready; its error ends Run. nil means there is nothing to install.
//
// Errors: why serving or installing failed, or what could not be put in order at
// the end. A stop that was asked for is none.
func (s *Server) Run(ctx context.Context, install func(context.Context) error) error {
	if err := writeEndpoint(s.cfg.DataDir, s.Endpoint()); err != nil {
		return errors.Join(err, s.Close())
	}
	// The engine and the meter outlive the last call. When one of them fails, the
	// server ends too.
	inner, stopInner := context.WithCancel(context.WithoutCancel(ctx))
	defer stopInner()
	rooms, broken := errgroup.WithContext(inner)
	rooms.Go(func() error { return s.engine.Run(broken) })
	rooms.Go(func() error { return s.newKeeper().Run(broken) })
	rooms.Go(func() error { return s.meter.Run(broken) })
	rooms.Go(func() error { return s.cfg.record.Run(broken) })
	rooms.Go(func() error { return s.front.watch(broken) })
	rooms.Go(func() error { return s.tokens.Run(broken) })
	rooms.Go(func() error { return s.gateway.Run(broken) })
	rooms.Go(func() error { return s.resources.Run(broken) })
	rooms.Go(func() error { return s.agreements.Run(broken) })
	rooms.Go(func() error { return s.faults.Run(broken) })
	rooms.Go(func() error { return s.state.routers.Run(broken) })
	rooms.Go(func() error { return s.quotas.Run(broken) })
	rooms.Go(func() error { return s.renew(broken) })
	rooms.Go(func() error { return s.state.keys.Run(broken) })
	rooms.Go(func() error { return s.state.directory.Run(broken) })
	rooms.Go(func() error { return s.authority.approvals.Run(broken) })
	rooms.Go(func() error {
		return meter.Pruner{Store: s.state.store, Keep: *s.cfg.Usage.Keep, Log: s.log}.Run(broken)
	})

	outer, stopOuter := context.WithCancel(ctx)
	defer stopOuter()
	context.AfterFunc(broken, stopOuter)
	front, frontCtx := errgroup.WithContext(outer)
	context.AfterFunc(frontCtx, func() { s.draining.Store(true) })
	front.Go(func() error { return s.serve(frontCtx) })
	front.Go(func() error { return s.workloads.run(frontCtx) })
	front.Go(func() error { return s.jobs.Run(frontCtx) })
	front.Go(func() error {
		if install != nil {
			err := install(frontCtx)
			if errors.Is(err, context.Canceled) && outer.Err() != nil { // asked to stop while installing
				return nil
			}
			if err != nil {
				return err
			}
		}
		s.ready.Store(true)
		return nil
	})
	err := front.Wait()
	stopInner()
	return errors.Join(err, rooms.Wait(), s.Close())
}

// isReady reports whether new calls are welcome.
func (s *Server) isReady() bool { return s.ready.Load() && !s.draining.Load() }

// Close frees what New took. Run calls it; a second call does nothing.
func (s *Server) Close() error {
	var errs []error
	if s.front != nil {
		errs = append(errs, s.front.close(), s.cfg.disconnect())
	}
	errs = append(errs, s.workloads.close())
	if s.state != nil {
		errs = append(errs, s.state.store.Close())
		s.state = nil
	}
	s.shared.close()
	if s.objects != nil {
		errs = append(errs, s.objects.Close())
		s.objects = nil
	}
	if s.unlock != nil {
		errs = append(errs, s.unlock())
		s.unlock = nil
	}
	return errors.Join(errs...)
}
