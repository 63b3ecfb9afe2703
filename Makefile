# Sugar only: the two commands of the README need none of this.
.PHONY: check generate test bench

check:
	gofmt -l $$(git ls-files '*.go')
	go vet ./...
	go tool -modfile=tools/go.mod staticcheck ./...
	go test ./...

generate:
	go generate ./...

test:
	go test ./...

bench:
	go run ./bench
