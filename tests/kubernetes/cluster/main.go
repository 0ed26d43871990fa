// Testkube is all of a Kubernetes cluster in one program, for tests: built once from Kubernetes' own modules, so that no
// container engine and no image registry is needed.
//
//	testkube etcd FOLDER CLIENT_URL PEER_URL
//	testkube apiserver | controller-manager | scheduler | kubelet | kubectl FLAGS…
package main

import (
	"fmt"
	"log"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	_ "time/tzdata"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/embed"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/logs/json/register"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"
)

func main() {
	if len(os.Args) == 5 && os.Args[1] == "etcd" {
		etcd(os.Args[2], os.Args[3], os.Args[4])
		return
	}
	commands := map[string]func() *cobra.Command{
		"apiserver":          apiserver.NewAPIServerCommand,
		"controller-manager": controllers.NewControllerManagerCommand,
		"scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
		"kubelet":            kubelet.NewKubeletCommand, // from 1.34 on it takes a context
		"kubectl":            kubectl.NewDefaultKubectlCommand,
	}
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "usage: testkube etcd|apiserver|controller-manager|scheduler|kubelet|kubectl …")
		os.Exit(2)
	}
	command := commands[os.Args[1]]
	os.Args = append(os.Args[:1], os.Args[2:]...)
	os.Exit(cli.Run(command()))
}

// etcd runs until it is told to end. Nothing is flushed to disk: a test's cluster has nothing to lose.
func etcd(folder, client, peer string) {
	urls := func(text string) []url.URL {
		parsed, err := url.Parse(text)
		if err != nil {
			log.Fatal(err)
		}
		return []url.URL{*parsed}
	}
	config := embed.NewConfig()
	config.Name, config.Dir, config.UnsafeNoFsync, config.LogLevel = "test", folder, true, "warn"
	config.ListenClientUrls, config.AdvertiseClientUrls = urls(client), urls(client)
	config.ListenPeerUrls, config.AdvertisePeerUrls = urls(peer), urls(peer)
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	server, err := embed.StartEtcd(config)
	if err != nil {
		log.Fatal(err)
	}
	<-server.Server.ReadyNotify()
	fmt.Println("etcd is ready")
	ended := make(chan os.Signal, 1)
	signal.Notify(ended, syscall.SIGTERM, syscall.SIGINT)
	select {
	case <-ended:
		server.Close()
	case err := <-server.Err():
		log.Fatal(err)
	}
}
