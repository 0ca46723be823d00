{{- define "dunlin.operatorMetricsPort" -}}5560{{- end -}}
{{- define "dunlin.operatorHealthPort" -}}5561{{- end -}}
{{- define "dunlin.operatorArgs" -}}
{{- if not .Values.operator.watchAllNamespaces }}
- --set=kubernetes.namespaces={{ default (list .Release.Namespace) .Values.operator.watchNamespaces | join "," }}
{{- end }}
{{- if not .Values.operator.watchNodes }}
- --set=kubernetes.watch_nodes=false
{{- end }}
- --set=leader_election.lease={{ include "dunlin.operatorName" . }}
- --set=reconcile.default_image={{ include "dunlin.image" (dict "root" . "image" .Values.image) }}
- --set=log.level={{ .Values.operator.logLevel }}
{{- end -}}
