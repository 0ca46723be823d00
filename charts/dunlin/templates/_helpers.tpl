{{- define "dunlin.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{/* Names of pods and Services are made from it: at most 40 characters with what is added. */}}
{{- define "dunlin.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 28 | trimSuffix "-" -}}
{{- else if contains (include "dunlin.name" .) .Release.Name -}}
{{- .Release.Name | trunc 28 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "dunlin.name" .) | trunc 28 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Labels of what is this chart's: (dict "root" $ "component" "operator") */}}
{{- define "dunlin.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
app.kubernetes.io/part-of: dunlin
{{ include "dunlin.selectorLabels" . }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* What never changes of an object. */}}
{{- define "dunlin.selectorLabels" -}}
app.kubernetes.io/name: dunlin
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end -}}

{{- define "dunlin.metadata" -}}
name: {{ .name }}
namespace: {{ .root.Release.Namespace }}
labels:
  {{- include "dunlin.labels" . | nindent 2 }}
{{- with .root.Values.commonAnnotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{/* (dict "root" $ "image" .Values.image) */}}
{{- define "dunlin.image" -}}
{{- $repository := .image.repository -}}
{{- if .root.Values.imageRegistry -}}
{{- $repository = printf "%s/%s" .root.Values.imageRegistry .image.repository -}}
{{- end -}}
{{- if .image.digest -}}
{{- printf "%s@%s" $repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.operatorName" -}}{{ include "dunlin.fullname" . }}-operator{{- end -}}

{{- define "dunlin.serviceAccountName" -}}
{{- if .Values.operator.serviceAccount.create -}}
{{- default (include "dunlin.operatorName" .) .Values.operator.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.operator.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.etcdName" -}}{{ include "dunlin.fullname" . }}-etcd{{- end -}}

{{/* Hosts of its instances. A list as JSON. */}}
{{- define "dunlin.etcdHosts" -}}
{{- $hosts := list -}}
{{- $name := include "dunlin.etcdName" . -}}
{{- range until (int .Values.etcd.replicas) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s.%s.svc" $name . $name $.Release.Namespace) -}}
{{- end -}}
{{- toJson $hosts -}}
{{- end -}}

{{- define "dunlin.etcdSecretName" -}}
{{- default (include "dunlin.etcdName" .) .Values.etcd.tls.secretName -}}
{{- end -}}

{{/* What members show it. */}}
{{- define "dunlin.etcdClientSecretName" -}}
{{- default (printf "%s-client" (include "dunlin.etcdName" .)) .Values.etcd.tls.clientSecretName -}}
{{- end -}}

{{- define "dunlin.nameServiceName" -}}
{{- default (printf "%s-names" (include "dunlin.fullname" .)) .Values.cluster.nameService.name -}}
{{- end -}}

{{/* The access point of clients. */}}
{{- define "dunlin.accessPoint" -}}
{{ include "dunlin.nameServiceName" . }}.{{ .Release.Namespace }}.svc:9876
{{- end -}}

{{/* The Secret of the user that may do everything. */}}
{{- define "dunlin.superUserSecretName" -}}
{{- default (printf "%s-super-user" (include "dunlin.fullname" .)) .Values.accessControl.existingSecret -}}
{{- end -}}

{{/* Its name, as far as it is known when nobody can be asked. */}}
{{- define "dunlin.superUser" -}}
{{- $there := lookup "v1" "Secret" .Release.Namespace (include "dunlin.superUserSecretName" .) -}}
{{- dig "data" "accessKey" ("admin" | b64enc) $there | b64dec -}}
{{- end -}}

{{- define "dunlin.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- define "dunlin.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* The spec of one group: what is its own over the defaults. (dict "root" $ "group" .) */}}
{{- define "dunlin.brokerGroupSpec" -}}
{{- $spec := mergeOverwrite (deepCopy .root.Values.cluster.brokerGroupDefaults) (omit (deepCopy .group) "name") -}}
{{- $common := dict "clusterName" .root.Values.cluster.clusterName "brokerName" .group.name -}}
{{- $_ := set $common "nameServiceRef" (dict "name" (include "dunlin.nameServiceName" .root)) -}}
{{- $_ := set $common "image" (include "dunlin.image" (dict "root" .root "image" .root.Values.image)) -}}
{{- $_ := set $common "imagePullPolicy" .root.Values.image.pullPolicy -}}
{{- with .root.Values.imagePullSecrets }}{{- $_ := set $common "imagePullSecrets" . }}{{ end -}}
{{- if .root.Values.accessControl.enabled -}}
{{- $_ := set $common "access" (dict "enabled" true "superUserSecretName" (include "dunlin.superUserSecretName" .root)) -}}
{{- end -}}
{{- if $spec.nameServers }}{{- $common = omit $common "nameServiceRef" }}{{ end -}}
{{- $coordinator := dig "failover" "coordinator" (dict) $spec -}}
{{- if and .root.Values.etcd.enabled (eq (default "" $coordinator.type) "Etcd") (not $coordinator.etcd) -}}
{{- $endpoints := list -}}
{{- range include "dunlin.etcdHosts" .root | fromJsonArray }}{{- $endpoints = append $endpoints (printf "%s:2379" .) }}{{ end -}}
{{- $_ := set $coordinator "etcd" (dict "endpoints" $endpoints "tlsSecretName" (include "dunlin.etcdClientSecretName" .root)) -}}
{{- end -}}
{{- toYaml (mergeOverwrite $common $spec) -}}
{{- end -}}

{{/* What the schema cannot say. */}}
{{- define "dunlin.check" -}}
{{- $operator := .Values.operator -}}
{{- if and $operator.watchAllNamespaces $operator.watchNamespaces -}}
{{- fail "operator.watchNamespaces and operator.watchAllNamespaces contradict each other: empty the list, or set watchAllNamespaces to false" -}}
{{- end -}}
{{- if and .Values.cluster.enabled $operator.enabled $operator.watchNamespaces (not (has .Release.Namespace $operator.watchNamespaces)) -}}
{{- fail (printf "operator.watchNamespaces leaves out %s, where the cluster of this release would be: add it, or set cluster.enabled to false" .Release.Namespace) -}}
{{- end -}}
{{- $own := .Values.etcd.tls -}}
{{- if ne (empty $own.secretName) (empty $own.clientSecretName) -}}
{{- fail "etcd.tls.secretName and etcd.tls.clientSecretName: set both, or none" -}}
{{- end -}}
{{- if .Values.etcd.enabled -}}
{{- $set := lookup "apps/v1" "StatefulSet" .Release.Namespace (include "dunlin.etcdName" .) -}}
{{- $replicas := int (dig "spec" "replicas" .Values.etcd.replicas $set) -}}
{{- if ne $replicas (int .Values.etcd.replicas) -}}
{{- fail (printf "etcd.replicas cannot be changed: %s has %d, which know each other; leave it" (include "dunlin.etcdName" .) $replicas) -}}
{{- end -}}
{{- end -}}
{{- if and .Values.accessControl.existingSecret (not .Values.accessControl.enabled) -}}
{{- fail "accessControl.existingSecret has no use with accessControl.enabled false: remove it, or set accessControl.enabled to true" -}}
{{- end -}}
{{- $names := list -}}
{{- range .Values.cluster.brokerGroups -}}
{{- if has .name $names -}}
{{- fail (printf "cluster.brokerGroups has %s twice: names of groups are unique" .name) -}}
{{- end -}}
{{- $names = append $names .name -}}
{{- $name := printf "%s-%s" (include "dunlin.fullname" $) .name -}}
{{- if gt (len $name) 40 -}}
{{- fail (printf "the BrokerGroup of cluster.brokerGroups %s would be named %s, which is longer than 40 characters: give it a shorter name, or the release (fullnameOverride)" .name $name) -}}
{{- end -}}
{{- $spec := include "dunlin.brokerGroupSpec" (dict "root" $ "group" .) | fromYaml -}}
{{- $mode := $spec.replication.mode -}}
{{- if and (eq $mode "Sync") (lt (int $spec.replicas) 2) -}}
{{- fail (printf "broker group %s: replication.mode Sync needs replicas of 2 or more: raise replicas, or set the mode to Async" .name) -}}
{{- end -}}
{{- if and (eq $mode "Quorum") (lt (int $spec.replicas) 3) -}}
{{- fail (printf "broker group %s: replication.mode Quorum needs replicas of 3 or more: raise replicas, or set the mode to Sync or Async" .name) -}}
{{- end -}}
{{- if gt (int $spec.replication.minInSyncReplicas) (int $spec.replicas) -}}
{{- fail (printf "broker group %s: replication.minInSyncReplicas (%d) exceeds replicas (%d): no message could be acknowledged; lower it" .name (int $spec.replication.minInSyncReplicas) (int $spec.replicas)) -}}
{{- end -}}
{{- $coordinator := dig "failover" "coordinator" (dict) $spec -}}
{{- if and (eq (default "" $coordinator.type) "Etcd") (not $coordinator.etcd) -}}
{{- fail (printf "broker group %s: failover.coordinator.type Etcd needs an etcd: set etcd.enabled to true, or failover.coordinator.etcd.endpoints to one of yours" .name) -}}
{{- end -}}
{{- if and $spec.tls (eq (default "Both" $spec.tls.mode) "Off") $spec.tls.secretName -}}
{{- fail (printf "broker group %s: tls.secretName has no use with tls.mode Off: remove it, or set the mode to Both or Required" .name) -}}
{{- end -}}
{{- end -}}
{{- if eq (dig "tls" "mode" "Both" .Values.cluster.nameService) "Required" -}}
{{- fail "cluster.nameService.tls.mode Required would shut brokers out, which register in plaintext: set it to Both" -}}
{{- end -}}
{{- $topics := list -}}
{{- range .Values.cluster.topics -}}
{{- if has .name $topics -}}{{- fail (printf "cluster.topics has %s twice" .name) -}}{{- end -}}
{{- $topics = append $topics .name -}}
{{- end -}}
{{- range .Values.monitoring.prometheusRule.disabled -}}
{{- if not (contains (printf "alert: %s\n" .) ($.Files.Get "files/alerts.yaml")) -}}
{{- fail (printf "monitoring.prometheusRule.disabled names %s: there is no such alert; docs/runbooks has one page for each" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "dunlin.egressDns" -}}
- ports:
    - {port: 53, protocol: UDP}
    - {port: 53, protocol: TCP}
{{- end -}}

{{/* Where name services and etcds are that groups name, and where they mostly are. A list as JSON. */}}
{{- define "dunlin.memberEgressPorts" -}}
{{- $ports := concat (list 9876 2379) .Values.networkPolicy.egressPorts -}}
{{- range .Values.cluster.brokerGroups -}}
{{- $spec := include "dunlin.brokerGroupSpec" (dict "root" $ "group" .) | fromYaml -}}
{{- $endpoints := dig "failover" "coordinator" "etcd" "endpoints" list $spec -}}
{{- range concat (default list $spec.nameServers) $endpoints -}}
{{- $ports = append $ports (regexFind "[0-9]+$" . | int) -}}
{{- end -}}
{{- end -}}
{{- $unique := list -}}
{{- range $ports -}}{{- $unique = append $unique (int .) -}}{{- end -}}
{{- $unique | uniq | toJson -}}
{{- end -}}

{{- define "dunlin.egressApiServer" -}}
- ports:
    {{- range .Values.networkPolicy.apiServerPorts }}
    - {port: {{ . }}, protocol: TCP}
    {{- end }}
{{- end -}}

{{/* Whether the Prometheus operator is to be asked; its absence is said, not skipped over. */}}
{{- define "dunlin.needsMonitoringCrds" -}}
{{- if not (.Capabilities.APIVersions.Has "monitoring.coreos.com/v1") -}}
{{- fail "monitoring asks for a PodMonitor, ServiceMonitor or PrometheusRule, but the cluster does not know monitoring.coreos.com/v1: install the Prometheus operator first, or set monitoring.*.enabled to false (helm template: add --api-versions monitoring.coreos.com/v1)" -}}
{{- end -}}
{{- end -}}
