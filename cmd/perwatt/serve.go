package main

import (
	"fmt"
	"log"
	"net"

	"github.com/spf13/cobra"

	"github.com/perwatt/perwatt/results/serve"
	"github.com/perwatt/perwatt/results/store"
)

func serveCommand() *cobra.Command {
	var (
		dir     storeFlag
		address string
		hosts   []string
	)
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Show the records of a store in a browser on this machine",
		Long: `Show a store as web pages: what changed night by night, the list of records, one record,
or a comparison of several. The pages are those of perwatt report. Nothing is changed or
kept.

The server listens on loopback by default. Whoever can reach its address can read the
store: to share it, put a proxy that authenticates users in front, and name the proxy
with --host. The server answers only requests to IP addresses, localhost and the names
given with --host. Ctrl-C ends it within a second.`,
		Args: args(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			var page unsaved
			return atOnce(cmd, &page, func() error {
				return dir.indexed(cmd, "", func(x *store.Index) error {
					l, err := listen(cmd.Context(), address)
					if err != nil {
						return err
					}
					s := serve.New(x)
					s.Hosts, s.Tool = hosts, toolName()
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
	cmd.Flags().StringVar(&address, "listen", ":7771", "HOST:PORT to listen on; without a host, only this machine can connect; port 0 for a free one")
	cmd.Flags().StringArrayVar(&hosts, "host", nil, "further host name to answer to; may be repeated")
	return cmd
}
