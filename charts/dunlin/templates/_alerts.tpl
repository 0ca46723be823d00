{{/* files/alerts.yaml with the thresholds put in, links to runbooks, and without what is disabled. */}}
{{- define "dunlin.alerts" -}}
{{- $rule := .Values.monitoring.prometheusRule -}}
{{- $text := .Files.Get "files/alerts.yaml" -}}
{{- range $name, $value := $rule.thresholds -}}
{{- $text = replace (printf "$(%s)" $name) (toString (int64 $value)) $text -}}
{{- end -}}
{{- $groups := list -}}
{{- range (fromYaml $text).groups -}}
{{- $rules := list -}}
{{- range .rules -}}
{{- if not (has .alert $rule.disabled) -}}
{{- if $rule.runbookBaseUrl -}}
{{- $_ := set .annotations "runbook_url" (printf "%s/%s.md" (trimSuffix "/" $rule.runbookBaseUrl) .alert) -}}
{{- end -}}
{{- $rules = append $rules . -}}
{{- end -}}
{{- end -}}
{{- if $rules -}}
{{- $groups = append $groups (dict "name" .name "rules" $rules) -}}
{{- end -}}
{{- end -}}
{{- toYaml (dict "groups" $groups) -}}
{{- end -}}
