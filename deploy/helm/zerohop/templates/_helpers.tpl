{{/* Labels of everything. */}}
{{- define "zerohop.labels" -}}
app.kubernetes.io/part-of: zerohop
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{/* What selects the pods of one component; never changes. */}}
{{- define "zerohop.selector" -}}
app.kubernetes.io/name: {{ .name }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- end }}

{{/* The security contexts that the Pod Security Standard "restricted" asks for, and a read-only disk. */}}
{{- define "zerohop.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile: { type: RuntimeDefault }
{{- end }}
{{- define "zerohop.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: { drop: [ALL] }
{{- end }}

{{- define "zerohop.image" -}}
{{ .repository }}:{{ .tag }}
{{- end }}

{{- define "zerohop.pullSecrets" -}}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The agent's cluster, as Istio names it. */}}
{{- define "zerohop.istioAgentCluster" -}}
outbound|9002||zerohop-agent.{{ .Release.Namespace }}.svc.cluster.local
{{- end }}

{{/* The filter's configuration. What the chart knows itself goes before `filter`. */}}
{{- define "zerohop.filterConfig" -}}
{{- $pools := list }}
{{- range .pools }}
{{- $pools = append $pools (set (deepCopy .) "name" (printf "%s/%s" $.root.Release.Namespace .name)) }}
{{- end }}
{{- $own := dict "mode" .mode "agent" (dict "cluster" .cluster) "pools" $pools "allowed_cidrs" .root.Values.gateway.allowedCidrs }}
{{- toPrettyJson (merge $own .root.Values.filter) }}
{{- end }}
