package main

import (
	"fmt"
	"log"
	"net"
	"strings"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/serve"
	"github.com/perwatt/perwatt/results/store"
)

func serveCommand() *cobra.Command {
	var (
		dir    storeFlag
		listen string
		hosts  []string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Show the records of a store in a browser on this machine",
		Long: `Show a store as pages: what changed night by night, the records, one of them, a comparison
of several. The pages are those of perwatt report; nothing is changed and nothing kept.

It listens on loopback unless told otherwise, and whoever can reach it can read the
store: to show it to others, put a proxy that knows them in front and name it with
--host. It answers only to IP addresses, localhost and the names given with --host.
Ctrl-C ends it within a second: the page that is being made has that long.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var page unsaved
			return atOnce(cmd, &page, func() error {
				return dir.indexed(cmd, "", func(x *store.Index) error {
					l, err := net.Listen("tcp", listen)
					if err != nil {
						return usagef("--listen %s: %w", listen, err)
					}
					t := tool()
					s := serve.New(x)
					s.Hosts, s.Tool = hosts, strings.TrimSpace("perwatt "+t.Version+" "+t.Revision)
					say(cmd.OutOrStdout(), "http://%s/", l.Addr())
					if a, ok := l.Addr().(*net.TCPAddr); ok && !a.IP.IsLoopback() {
						say(cmd.ErrOrStderr(), "perwatt: whoever can reach this address can read the store")
					}
					defer page.begin(l.Addr().String())() // which ends by itself
					if err := s.Serve(cmd.Context(), l, log.New(lines{cmd.ErrOrStderr()}, "perwatt: ", 0)); err != nil {
						return fmt.Errorf("serve %s: %w", l.Addr(), err)
					}
					return nil
				})
			})
		},
	}
	dir.flag(cmd)
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:7771", "address and port; port 0 for a free one")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "name by which it may be asked too, may be repeated")
	return cmd
}
