package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/outcrop/outcrop/internal/object"
)

func newObjects(std IO, p Program, o *Options) *cobra.Command {
	cmd := group(&cobra.Command{
		Use:   "objects",
		Short: "Make buckets, and copy objects in and out",
		Long: `The objects that s3:// addresses in calls mean: documents and images of
messages, and the results of asynchronous invocations. They lie in the data
directory, apart for each account.`,
		Example: "  outcrop objects mb s3://results\n  outcrop objects cp report.pdf s3://results/in/report.pdf\n  outcrop objects ls s3://results",
	})
	var account string
	cmd.PersistentFlags().StringVar(&account, "account", "", "account that owns the bucket, 12 digits (default: the first key's)")
	do := func(cmd *cobra.Command, run func(ctx context.Context, st object.Store, account string) error) error {
		return with(cmd.Context(), p, o, func(l *Local) error {
			if account == "" {
				account = l.Account
			}
			return objectError(run(cmd.Context(), l.Objects, account))
		})
	}
	cmd.AddCommand(newObjectsMake(std, do), newObjectsList(std, do), newObjectsCopy(std, do), newObjectsRemove(std, do))
	return cmd
}

// objectsRun runs a command on the objects of the chosen account.
type objectsRun func(cmd *cobra.Command, run func(ctx context.Context, st object.Store, account string) error) error

// objectError says what to do about the errors of stores.
func objectError(err error) error {
	if errors.Is(err, object.ErrNoBucket) {
		return fmt.Errorf("%w; make it with: outcrop objects mb s3://NAME", err)
	}
	return err
}

func newObjectsMake(std IO, do objectsRun) *cobra.Command {
	return &cobra.Command{
		Use: "mb s3://BUCKET", Short: "Make a bucket", Example: "  outcrop objects mb s3://results", Args: exactly("s3://BUCKET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := object.ParseURI(args[0])
			if err != nil {
				return &usageError{err}
			}
			if ref.Key != "" {
				return &usageError{fmt.Errorf("%s names an object, not a bucket", args[0])}
			}
			return do(cmd, func(ctx context.Context, st object.Store, account string) error {
				if err := st.CreateBucket(ctx, account, ref.Bucket); err != nil {
					return err
				}
				_, err := fmt.Fprintf(std.Out, "%s%s is there now.\n", object.Scheme, ref.Bucket)
				return err
			})
		},
	}
}

// objectView is an object as it is shown.
type objectView struct {
	URI      string    `json:"uri"`
	Size     int64     `json:"size_bytes"`
	Modified time.Time `json:"modified"`
}

func newObjectsList(std IO, do objectsRun) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "ls s3://BUCKET[/PREFIX]", Short: "List objects", Example: "  outcrop objects ls s3://results/a/ --json", Args: exactly("s3://BUCKET[/PREFIX]"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := object.ParseURI(args[0])
			if err != nil {
				return &usageError{err}
			}
			return do(cmd, func(ctx context.Context, st object.Store, account string) error {
				views := []objectView{}
				for after := ""; ; {
					page, err := st.List(ctx, account, ref.Bucket, ref.Key, object.ListOptions{After: after})
					if err != nil {
						return err
					}
					for _, i := range page.Objects {
						views = append(views, objectView{object.Ref{Bucket: ref.Bucket, Key: i.Key}.String(), i.Size, i.Modified})
						after = i.Key
					}
					if !page.More {
						break
					}
				}
				if asJSON {
					return writeJSON(std.Out, views)
				}
				return table(std.Out, "SIZE\tMODIFIED\tOBJECT", func(w io.Writer) {
					for _, v := range views {
						fmt.Fprintf(w, "%d\t%s\t%s\n", v.Size, v.Modified.Local().Format(time.DateTime), v.URI)
					}
				})
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func newObjectsCopy(std IO, do objectsRun) *cobra.Command {
	return &cobra.Command{
		Use: "cp FROM TO", Short: "Copy a file to an object, or an object to a file", Args: exactly("FROM", "TO"),
		Example: "  outcrop objects cp report.pdf s3://results/in/\n  outcrop objects cp s3://results/a/1/output.json .",
		RunE: func(cmd *cobra.Command, args []string) error {
			up, down := strings.HasPrefix(args[1], object.Scheme), strings.HasPrefix(args[0], object.Scheme)
			if up == down {
				return &usageError{fmt.Errorf("exactly one of FROM and TO is an address %sBUCKET/KEY", object.Scheme)}
			}
			remote, file := args[0], args[1]
			if up {
				remote, file = args[1], args[0]
			}
			ref, err := object.ParseURI(remote)
			if err != nil {
				return &usageError{err}
			}
			if up && (ref.Key == "" || strings.HasSuffix(ref.Key, "/")) {
				ref = ref.Join(filepath.Base(file))
			}
			return do(cmd, func(ctx context.Context, st object.Store, account string) error {
				if up {
					err = putFile(ctx, st, account, ref, file)
				} else {
					file, err = getFile(ctx, st, account, ref, file)
				}
				if err != nil {
					return err
				}
				if up {
					file = ref.String()
				}
				_, err := fmt.Fprintf(std.Out, "%s is there now.\n", file)
				return err
			})
		},
	}
}

func putFile(ctx context.Context, st object.Store, account string, ref object.Ref, file string) error {
	f, err := os.Open(file) // #nosec G304 -- the user named it
	if err != nil {
		return err
	}
	defer f.Close() // read only
	return st.Put(ctx, account, ref, f, object.Options{})
}

// getFile returns the name of the file that it wrote.
func getFile(ctx context.Context, st object.Store, account string, ref object.Ref, file string) (string, error) {
	if info, err := os.Stat(file); err == nil && info.IsDir() {
		file = filepath.Join(file, path.Base(ref.Key))
	}
	r, _, err := st.Get(ctx, account, ref)
	if err != nil {
		return "", err
	}
	defer r.Close()                                                        // read only
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600) // #nosec G304 -- the user named it
	if err != nil {
		return "", err
	}
	if _, err := io.Copy(f, r); err != nil {
		return "", errors.Join(err, f.Close())
	}
	return file, f.Close()
}

func newObjectsRemove(std IO, do objectsRun) *cobra.Command {
	return &cobra.Command{
		Use: "rm s3://BUCKET/KEY", Short: "Remove an object", Example: "  outcrop objects rm s3://results/in/report.pdf", Args: exactly("s3://BUCKET/KEY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			ref, err := object.ParseURI(args[0])
			if err != nil {
				return &usageError{err}
			}
			if ref.Key == "" {
				return &usageError{fmt.Errorf("%s names no object", args[0])}
			}
			return do(cmd, func(ctx context.Context, st object.Store, account string) error {
				if err := st.Delete(ctx, account, ref); err != nil {
					return err
				}
				_, err := fmt.Fprintf(std.Out, "%s is gone.\n", ref)
				return err
			})
		},
	}
}
